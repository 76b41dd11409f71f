// libFuzzer: the command's safetensors reader. Any bytes give tensors that lie inside them, or an Error.
#include <string>

#include "samples/cli/safetensors_io.hpp"

// The reader's failures want this one function of the library.
extern "C" const char* orr_status_name(orr_status) { return "status"; }

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
    try {
        for (const auto& t : orrery::cli::parse_safetensors({reinterpret_cast<const char*>(data), size}, "fuzz"))
            if (orrery::cli::to_f32(t).size() != static_cast<size_t>(t.elements())) __builtin_trap();
    } catch (const orrery::host::Error&) {
    }
    return 0;
}
