// Any bytes as a safetensors file: a FormatError or tensors that lie inside the file, the same through memory and through callbacks.
#include <cstdlib>

#include "formats/safetensors/safetensors.h"

using namespace orrery::formats;

namespace {

std::string outcome(const Source& source) try {
    const Safetensors file = parse_safetensors(source);
    std::string text = file.metadata_json();
    for (const TensorEntry& tensor : file.directory.tensors()) {
        if (tensor.offset > source.size() || tensor.size_bytes > source.size() - tensor.offset) std::abort();
        text += tensor.name + shape_text(tensor.shape) + std::string(tensor.type->id) + std::to_string(tensor.offset);
    }
    return text;
} catch (const FormatError& error) {
    return error.what();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const MemorySource memory(data, size);
    const CallbackSource callbacks(size, [&](uint64_t offset, uint64_t count, void* dst) {
        if (offset > size || count > size - offset) std::abort();
        std::memcpy(dst, data + offset, count);
        return true;
    });
    if (outcome(memory) != outcome(callbacks)) std::abort();
    return 0;
}
