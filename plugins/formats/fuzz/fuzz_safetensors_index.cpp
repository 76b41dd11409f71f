// Any text as model.safetensors.index.json: a FormatError, or shards that are plain file names and that every tensor has one of.
#include <cstdlib>

#include "formats/safetensors/safetensors.h"

using namespace orrery::formats;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    try {
        const SafetensorsIndex index = parse_safetensors_index({reinterpret_cast<const char*>(data), size});
        for (const std::string& file : index.files) {
            if (file.empty() || file == ".." || file.find('/') != std::string::npos || file.find('\0') != std::string::npos) std::abort();
        }
        for (const auto& [tensor, file] : index.file_of) {
            if (tensor.empty() || file >= index.files.size()) std::abort();
        }
        // Shards without tensors: joining has to refuse whatever the index promises.
        const TensorDirectory joined = join_shards(index, std::vector<Safetensors>(index.files.size()));
        if (!index.file_of.empty()) std::abort();
    } catch (const FormatError&) {
    }
    return 0;
}
