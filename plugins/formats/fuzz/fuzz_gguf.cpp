// Any bytes as a GGUF: a FormatError, or values and tensors that lie inside the file, the same through memory and through callbacks.
#include "both_sources.hpp"
#include "formats/gguf/gguf.h"

using namespace orrery::formats;

namespace {

template <typename Get>
void ask(Get get) {
    try {
        get();
    } catch (const FormatError& error) {
        if (error.kind() != ErrorKind::kWrongType) std::abort();
    }
}

std::string outcome(const Source& source) try {
    const Gguf file = Gguf::parse(source);
    std::string text = file.metadata_json(1000);
    for (size_t i = 0; i < file.key_count(); ++i) {
        const std::string key(file.key(i));
        ask([&] { text += file.get_string(key).value(); });
        ask([&] { text += std::to_string(file.get_u64(key).value()); });
        ask([&] { text += std::to_string(file.get_i64(key).value()); });
        ask([&] { file.get_f64(key); });
        ask([&] { text += file.get_bool(key).value() ? 't' : 'f'; });
        ask([&] {
            const auto strings = file.get_strings(key);
            for (const std::string_view part : *strings) text += part;
        });
        ask([&] { text += std::to_string(file.get_f32s(key)->size()); });
        ask([&] {
            const auto values = file.get_i64s(key);
            for (const int64_t value : *values) text += std::to_string(value);
        });
    }
    return text + tensors_text(source, file.directory().tensors());
} catch (const FormatError& error) {
    return error.what();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    expect_same_through_both(data, size, outcome);
    return 0;
}
