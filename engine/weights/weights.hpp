// A model's constants: checkpoint tensors, mapped and used in place or repacked once; constants made by the model or by
// folding. Shared by all entries and sessions of a model.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/registry/registry.hpp"
#include "engine/weights/memory.hpp"

namespace orrery {

class Weights;

// Round what names an adapter, in the keys of its constants and of all that is made of them.
constexpr char kAdapterMark[] = "\x1f";

// One constant tensor. Its bytes come into being when first asked for.
class Constant {
  public:
    const std::string& key() const { return key_; }  // equal keys have equal contents within one model
    const std::string& name() const { return name_; }
    uint32_t type() const { return type_->number; }
    const TypeInfo& type_info() const { return *type_; }
    const std::vector<int64_t>& shape() const { return shape_; }
    const std::vector<int64_t>& strides() const { return strides_; }  // bytes
    uint64_t bytes() const { return bytes_; }
    bool from_checkpoint() const { return !entries_.empty(); }
    const void* made_bytes() const { return owned_.data(); }  // of constants made by the model
    const std::vector<std::string>& sources() const { return sources_; }
    const std::shared_ptr<Constant>& whole() const { return whole_; }    // that this is a part of, or none
    const std::vector<int64_t>& first() const { return first_; }         // where it begins there

  private:
    friend class Weights;
    struct Part {
        int32_t file;
        uint64_t offset, bytes;
    };
    std::string key_, name_;
    std::vector<std::string> sources_;  // checkpoint names, for the text form
    const TypeInfo* type_ = nullptr;
    std::vector<int64_t> shape_, strides_;
    uint64_t bytes_ = 0;
    std::vector<Part> entries_;            // checkpoint parts, one behind the other
    Buffer owned_;                         // contents of made constants; or materialised copies
    const void* mapped_ = nullptr;         // contents in the mapped file
    std::shared_ptr<Constant> base_;       // a view into another constant, at base_offset_
    uint64_t base_offset_ = 0;
    std::shared_ptr<Constant> whole_;
    std::vector<int64_t> first_;
    std::function<Buffer()> make_;         // folded: computed on first use
    bool pinned_ = false;                  // a plan holds its address
    struct Packed {
        Buffer buffer;
        uint64_t bytes;
    };
    std::map<std::string, Packed> packed_;
};

class Weights {
  public:
    Weights(const orr_host* host, Registry& registry, std::shared_ptr<Memory> memory, const orr_files* files, const orr_checkpoint* checkpoint);

    // Checkpoint entry by name, nullptr when absent.
    const orr_tensor_entry* find(const std::string& name) const;
    // Declares a checkpoint tensor, or `names.size()` of them stacked along a new first axis when stack. shape: -1 fits
    // anything. Throws Error naming the tensor and both shapes.
    std::shared_ptr<Constant> declare(const std::vector<std::string>& names, bool stack, const std::vector<int64_t>& shape);
    std::shared_ptr<Constant> make(const std::string& name, uint32_t type, const std::vector<int64_t>& shape, const void* data);
    // A constant that is nobody's but the caller's; `fill` writes its bytes, once.
    std::shared_ptr<Constant> adopt(const std::string& key, const std::string& name, uint32_t type, const std::vector<int64_t>& shape, const std::function<void(void*)>& fill);
    // Lets go of constants whose keys hold `mark`; who uses them keeps them.
    void forget(const std::string& mark);
    // A constant computed by `fn` when first needed; the same key gives the same constant.
    std::shared_ptr<Constant> derive(const std::string& key, const std::string& name, uint32_t type, const std::vector<int64_t>& shape, std::function<Buffer()> fn);
    std::shared_ptr<Constant> view(const std::string& key, const std::shared_ptr<Constant>& base, const orr_tensor& as);
    // Tells that `part` is what lies in `base` from `offset` on at the base's own strides, where that is so.
    void mark_part(const std::shared_ptr<Constant>& part, const std::shared_ptr<Constant>& base, uint64_t offset);
    // The same values as contiguous f32.
    std::shared_ptr<Constant> as_f32(const std::shared_ptr<Constant>& c);

    // Bytes of a constant in host memory, from now on at this address. Throws on I/O failure or out of memory.
    const void* data(const std::shared_ptr<Constant>& c);
    // data() for a kernel that reads the constant as it lies, called after the kernel was prepared.
    const void* in_place(const std::shared_ptr<Constant>& c);
    // Description for kernels. with_data: data is filled in, valid until the next release_source().
    orr_tensor tensor(const std::shared_ptr<Constant>& c, bool with_data);
    // See orr_pack. `parallel` runs the chunks. Returns the packed bytes.
    const void* pack(const std::shared_ptr<Constant>& c, const orr_pack& pack, const std::function<void(int64_t, orr_chunk_fn, void*)>& parallel);
    // Gives back pages that only packing needed.
    void release_source(const std::shared_ptr<Constant>& c);

    uint64_t checkpoint_bytes() const { return checkpoint_bytes_; }
    uint64_t tensor_count() const { return entries_.size(); }
    std::vector<std::string> tensor_names() const;
    std::vector<std::string> unused() const;  // checkpoint tensors that no entry has declared
    uint64_t resident_bytes();                // owned and packed
    // From now on pack() and in_place() count what they would take, in the memory and in the bytes below; they read nothing and give nullptr.
    void measure() { measuring_ = true; }
    uint64_t mapped_bytes() const { return mapped_bytes_; }
    nlohmann::ordered_json describe();

  private:
    static bool release_mapped(const std::shared_ptr<Constant>& c);
    const void* data_locked(const std::shared_ptr<Constant>& c);
    const char* mapped_at(const Constant& c) const;
    uint64_t reading_bytes(const Constant& c) const;
    const orr_host* host_;
    Registry& registry_;
    std::shared_ptr<Memory> memory_;
    const orr_files* files_;
    bool measuring_ = false;
    uint64_t counted_bytes_ = 0, mapped_bytes_ = 0;
    std::map<std::string, const orr_tensor_entry*> entries_;
    std::map<std::string, bool> declared_;
    std::map<std::string, std::shared_ptr<Constant>> constants_;
    uint64_t checkpoint_bytes_ = 0;
    std::recursive_mutex mutex_;
};

std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape, const TypeInfo& type);
uint64_t contiguous_bytes(const std::vector<int64_t>& shape, const TypeInfo& type, const std::string& what);
std::string shape_text(const std::vector<int64_t>& shape);
// Copies a strided plain or block tensor to contiguous f32.
void convert_to_f32(const orr_tensor& src, const TypeInfo& type, float* dst);

}  // namespace orrery
