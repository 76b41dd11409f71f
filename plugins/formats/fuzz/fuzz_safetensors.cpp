// Any bytes as a safetensors file: a FormatError or tensors that lie inside the file, the same through memory and through callbacks.
#include "both_sources.hpp"
#include "formats/safetensors/safetensors.h"

using namespace orrery::formats;

namespace {

std::string outcome(const Source& source) try {
    const Safetensors file = parse_safetensors(source);
    return file.metadata_json() + tensors_text(source, file.directory.tensors());
} catch (const FormatError& error) {
    return error.what();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    expect_same_through_both(data, size, outcome);
    return 0;
}
