// The bridge from the parsers to the plugin ABI: host files as sources, and an open checkpoint as its table.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/source.h"
#include "common/tensor_directory.h"
#include "orrery/plugin.hpp"

namespace orrery::formats {

// An open file of the host: mapped where the host can, else read through it. `files` outlives it.
std::unique_ptr<Source> open_source(const orr_files* files, int32_t file);

// The whole of a file as text (small ones: config.json, an index).
std::string read_text(const orr_files* files, int32_t file);

// "model 'PATH'", or "the model" when the host gave no path.
std::string model_name(const orr_files* files);

// Runs `open`, which returns a new checkpoint; FormatError and what guard() knows become a status with its text.
orr_status open_guarded(const orr_files* files, orr_checkpoint** checkpoint, orr_checkpoint* (*open)(const orr_files*));

// Owner of everything that an orr_checkpoint points to; close() deletes it.
class Checkpoint : public orr_checkpoint {
  public:
    Checkpoint(const char* format_id, std::vector<std::string> architecture_names, std::string config_text);
    virtual ~Checkpoint() = default;
    Checkpoint(const Checkpoint&) = delete;
    Checkpoint& operator=(const Checkpoint&) = delete;

  protected:
    struct Strings {
        std::vector<const char*> values;
        std::vector<uint64_t> sizes;
    };

    // `file_numbers[i]` is what the host's open() gave for TensorEntry::file i. `directory` is kept: entries point into it.
    void set_tensors(TensorDirectory directory, const std::vector<int32_t>& file_numbers);

    // Arrays by key: filled once, on first use. False when absent or of another kind.
    virtual bool load_strings(std::string_view, Strings&) const { return false; }
    virtual bool load_floats(std::string_view, std::vector<float>&) const { return false; }
    virtual bool load_ints(std::string_view, std::vector<int64_t>&) const { return false; }

  private:
    template <typename Array>
    struct Cache {
        std::unordered_map<std::string, std::unique_ptr<const Array>> arrays;  // null: absent
    };
    template <typename Array>
    const Array* cached(Cache<Array>& cache, const char* key, bool (Checkpoint::*load)(std::string_view, Array&) const) const noexcept;

    std::vector<std::string> architecture_names_;
    std::vector<const char*> architecture_pointers_;
    std::string config_text_;
    TensorDirectory directory_;
    std::vector<orr_tensor_entry> entries_;
    mutable std::mutex mutex_;  // the getters may be called on any thread
    mutable Cache<Strings> strings_;
    mutable Cache<std::vector<float>> floats_;
    mutable Cache<std::vector<int64_t>> ints_;
};

}  // namespace orrery::formats
