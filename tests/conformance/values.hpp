// Tensors of a case: as written (Value), and in memory as a kernel sees them (Held).
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "orrery/plugin.h"
#include "types.hpp"

namespace orrery::conformance {

// A page that cannot be read right behind the data, whose begin is then aligned to nothing, or right before it.
enum class Fence { none, behind, before };

// Storage with guard bytes on both sides, or on the one without a fence; 64-byte aligned, but for a fence behind.
class Guarded {
  public:
    explicit Guarded(size_t bytes, uint8_t fill = kCanary, Fence fence = Fence::none);
    Guarded(const Guarded&) = delete;
    ~Guarded();
    uint8_t* data() const { return data_; }
    size_t size() const { return size_; }
    // Whether the guards are as they were.
    bool intact() const;
    static constexpr uint8_t kCanary = 0xff;  // NaN in every float type

  private:
    static constexpr size_t kGuard = 256;
    uint8_t* base_;
    uint8_t* data_;
    size_t size_, total_;
    Fence fence_;
};

// A tensor's content in logical order: row-major, the last axis packed.
struct Value {
    bool present = false;
    const Type* type = nullptr;
    std::vector<int64_t> shape;
    std::vector<uint8_t> bytes;
    std::string layout;
    std::optional<bool> constant;
    // paged
    std::vector<int64_t> past, first, length;
    int32_t page_tokens = 16;

    int64_t elems() const;
    // Elements of the last axis, and how many rows of them there are.
    int64_t row_elems() const { return shape.empty() ? 1 : shape.back(); }
    int64_t rows() const;
    std::vector<double> numbers() const;
    std::string describe() const;
};

// How a plain tensor lies in memory.
enum class Form {
    contiguous,
    shifted,    // contiguous, aligned to one element alone, as tensors of a mapped file may be, its end fenced
    fronted,    // contiguous, its begin fenced
    gaps,       // between rows, and shifted
    swapped,    // the first axes innermost
    second,     // every second element of what lies there, and shifted
    transposed  // the last axis but one innermost, and shifted
};
// Whether the last axis of such a tensor is strided in that form. Blocks lie together.
bool strides_last_axis(const Value& value, Form form);

// One tensor in memory.
class Held {
  public:
    // An input, or with `filled` false an output to be written. constant: flagged so.
    Held(const Value& value, Form form, bool constant, bool filled);
    // An output of layout "paged" that shares another tensor's pages.
    Held(const Value& value, const Held& shared);
    Held(const Held&) = delete;

    const orr_tensor* tensor() const { return &tensor_; }
    orr_tensor& edit() { return tensor_; }
    // The content now, in logical order. Tokens of paged tensors before `first` read as zeros.
    std::vector<uint8_t> content() const;
    bool intact() const;
    // Turns the sign and the lowest bit of the exponent of every element, of plain activations in floating point; false for others. Twice: as before.
    bool disturb() const;
    const std::vector<std::unique_ptr<Guarded>>& memory() const { return memory_; }
    // Layouts "paged" and "rows": other content, past and length in the same memory. Not for pages that are gone.
    void set_state(const Value& value);
    // The same tensor with its rows and pages in other memory; the old one is overwritten and stays, so that whoever still goes there is seen.
    void move_state();
    // Layout "rows": takes the other's rows instead of its own.
    void share_rows(const Held& other) { tensor_.data = other.tensor_.data; }

  private:
    void hold_plain(const Value& v, Form form, bool filled);
    void hold_rows(const Value& v, bool filled);
    void hold_paged(const Value& v, bool filled);
    void fill_pages(const Value& v);
    // Calls body(bytes in memory, offset in logical order, size) row by row.
    template <class Body>
    void each_row(Body&& body) const;

    orr_tensor tensor_{};
    const Type* type_;
    std::vector<std::unique_ptr<Guarded>> memory_;
    std::vector<std::vector<void*>> pages_;
    std::vector<void*> rows_;
    std::vector<orr_paged> paged_;
    std::vector<const orr_paged*> paged_pointers_;
};

// Equal texts give equal pointers, as the engine promises for layouts.
const char* intern(const std::string& text);
// The engine's description of a tensor without memory.
orr_value_info info_of(const Value& v);
// Shape in words: "f32 [2, 3]".
std::string shape_text(const std::vector<int64_t>& shape);
// Random content of another shape within the range of `like`; block types: random blocks of it.
Value random_value(const Value& like, const std::vector<int64_t>& shape, std::mt19937_64& random);

}  // namespace orrery::conformance
