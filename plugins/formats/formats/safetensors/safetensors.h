// safetensors: an 8-byte little-endian header size, a JSON header, then the tensors without gaps.
// Format: huggingface/safetensors, README.md and docs/source/index.mdx; checks as its Rust reader makes them (safetensors/src/tensor.rs).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/source.h"
#include "common/tensor_directory.h"

namespace orrery::formats {

struct Safetensors {
    TensorDirectory directory;                    // in header order
    std::map<std::string, std::string> metadata;  // the header's "__metadata__"

    std::string metadata_json() const;
};

// The reference reader refuses a longer header, so that a lying size cannot ask for much memory.
constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

// Reads the header alone; no tensor is read. Throws FormatError. `file` becomes TensorEntry::file.
Safetensors parse_safetensors(const Source& source, uint32_t file = 0);

// model.safetensors.index.json: which shard holds which tensor.
struct SafetensorsIndex {
    std::vector<std::string> files;               // shard file names, sorted, each once
    std::map<std::string, uint32_t> file_of;      // tensor name -> index in `files`
    std::map<std::string, std::string> metadata;  // the index's "metadata", its scalars as JSON text
};

// Shards lie beside the index: a name with a folder in it is refused, whether it leaves the folder or not. Throws FormatError.
SafetensorsIndex parse_safetensors_index(std::string_view json);

// One directory over all shards, `shards[i]` being `index.files[i]` parsed with file = i. Throws FormatError when a tensor is in two
// shards, or not in the shard that the index names. A tensor that the index leaves out is taken, as upstream does.
TensorDirectory join_shards(const SafetensorsIndex& index, std::vector<Safetensors> shards);

}  // namespace orrery::formats
