// A small reader and writer of safetensors files, for the tensors that `eval` and `bench` take and give.
// Format: u64 little-endian header size, JSON header {name: {dtype, shape, data_offsets}}, data.
#ifndef ORRERY_CLI_SAFETENSORS_IO_HPP
#define ORRERY_CLI_SAFETENSORS_IO_HPP

#include <string>
#include <vector>

#include "orrery/orrery.hpp"

namespace orrery::cli {

// Every tensor of a file's bytes, in the order in which they lie. Throws host::Error that tells what is wrong; `name` is the
// file's, for messages.
std::vector<host::Tensor> parse_safetensors(const std::string& bytes, const std::string& name);

// Writes all tensors as F32, whatever plain type they have.
void write_safetensors_f32(const std::string& path, const std::vector<host::Tensor>& tensors);

// The elements as f32.
std::vector<float> to_f32(const host::Tensor& tensor);

}  // namespace orrery::cli
#endif
