#include "values.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <set>
#include <stdexcept>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define ORR_POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define ORR_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define ORR_POISON(p, n) (void)0
#define ORR_UNPOISON(p, n) (void)0
#endif

namespace orrery::conformance {

constexpr uint8_t kGuardByte = 0xc5;

Guarded::Guarded(size_t bytes, uint8_t fill, Fence fence) : size_(bytes), fence_(fence) {
    if (fence != Fence::none) {
        const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        total_ = (bytes + kGuard + page - 1) / page * page + page;
        void* memory = mmap(nullptr, total_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        base_ = static_cast<uint8_t*>(memory);
        const bool before = fence == Fence::before;
        mprotect(before ? base_ : base_ + total_ - page, page, PROT_NONE);
        data_ = before ? base_ + page : base_ + total_ - page - bytes;
        std::memset(before ? data_ + bytes : data_ - kGuard, kGuardByte, kGuard);
        std::memset(data_, fill, bytes);
        return;
    }
    total_ = kGuard + (bytes + kGuard + 63) / 64 * 64;
    base_ = static_cast<uint8_t*>(std::aligned_alloc(64, total_));
    if (!base_) throw std::bad_alloc();
    data_ = base_ + kGuard;
    std::memset(base_, kGuardByte, total_);
    std::memset(data_, fill, bytes);
    ORR_POISON(base_, kGuard);
    ORR_POISON(data_ + size_, total_ - kGuard - size_);
}
Guarded::~Guarded() {
    if (fence_ != Fence::none) {
        munmap(base_, total_);
        return;
    }
    ORR_UNPOISON(base_, total_);
    std::free(base_);
}
bool Guarded::intact() const {
    const auto guard = [](uint8_t b) { return b == kGuardByte; };
    if (fence_ == Fence::behind) return std::all_of(data_ - kGuard, data_, guard);
    if (fence_ == Fence::before) return std::all_of(data_ + size_, data_ + size_ + kGuard, guard);
    ORR_UNPOISON(base_, total_);
    const bool good = std::all_of(base_, data_, guard) && std::all_of(data_ + size_, base_ + total_, guard);
    ORR_POISON(base_, kGuard);
    ORR_POISON(data_ + size_, total_ - kGuard - size_);
    return good;
}

int64_t Value::elems() const {
    int64_t n = 1;
    for (const int64_t d : shape) n *= d;
    return n;
}
int64_t Value::rows() const {
    int64_t n = 1;
    for (size_t k = 0; k + 1 < shape.size(); k++) n *= shape[k];
    return n;
}
std::vector<double> Value::numbers() const {
    if (type->block_elems == 1) return decode(*type, bytes.data(), elems());
    std::vector<double> out;
    const int64_t width = row_bytes(*type, row_elems());
    for (int64_t r = 0; r < rows(); r++) {
        const auto row = decode(*type, bytes.data() + r * width, row_elems());
        out.insert(out.end(), row.begin(), row.end());
    }
    return out;
}
std::string shape_text(const std::vector<int64_t>& shape) {
    std::string out = "[";
    for (size_t n = 0; n < shape.size(); n++) out += (n ? ", " : "") + std::to_string(shape[n]);
    return out + "]";
}
std::string Value::describe() const { return present ? type->id + " " + shape_text(shape) : "none"; }

const char* intern(const std::string& text) {
    static std::mutex mutex;
    static std::set<std::string> all;
    const std::lock_guard lock(mutex);
    return all.insert(text).first->c_str();
}

orr_value_info info_of(const Value& v) {
    orr_value_info info{};
    info.header = ORR_HEADER(orr_value_info);
    info.type = v.type->number;
    info.rank = static_cast<int32_t>(v.shape.size());
    std::copy(v.shape.begin(), v.shape.end(), info.dims);
    info.type_id = v.type->id.c_str();
    info.layout = intern(v.layout);
    return info;
}

// ---------------------------------------------------------------- in memory

Held::Held(const Value& v, Form form, bool constant, bool filled) : type_(v.type) {
    if (v.shape.size() > ORR_MAX_RANK) throw std::runtime_error("a tensor has at most 8 axes, this one has " + std::to_string(v.shape.size()));
    tensor_.header = ORR_HEADER(orr_tensor);
    tensor_.type = v.type->number;
    tensor_.rank = static_cast<int32_t>(v.shape.size());
    tensor_.type_id = v.type->id.c_str();
    tensor_.layout = intern(v.layout);
    std::copy(v.shape.begin(), v.shape.end(), tensor_.shape);
    tensor_.block_elems = v.type->block_elems;
    tensor_.block_bytes = v.type->block_bytes;
    tensor_.flags = constant ? ORR_TENSOR_CONSTANT : 0;
    if (v.layout == ORR_LAYOUT_PAGED) {
        hold_paged(v, filled);
    } else if (v.layout == ORR_LAYOUT_ROWS) {
        hold_rows(v, filled);
    } else {
        hold_plain(v, form, filled);
    }
}

Held::Held(const Value& v, const Held& shared) : Held(v, Form::contiguous, false, false) {
    memory_.clear();
    tensor_.data = shared.tensor_.data;
    paged_ = shared.paged_;
}

bool strides_last_axis(const Value& v, Form form) {
    if (v.type->block || v.shape.empty() || v.shape.back() < 2) return false;
    return form == Form::second || (form == Form::transposed && v.shape.size() > 1 && v.shape[v.shape.size() - 2] > 1);
}

void Held::hold_plain(const Value& v, Form form, bool filled) {
    const int32_t rank = tensor_.rank;
    const int64_t unit = type_->block_bytes;
    const bool strided = strides_last_axis(v, form);
    int64_t step = row_bytes(*type_, v.row_elems());
    if (rank > 0) tensor_.stride_bytes[rank - 1] = unit;
    if (strided) {
        const int64_t apart = form == Form::second ? 2 : v.shape[static_cast<size_t>(rank) - 2];
        tensor_.stride_bytes[rank - 1] = unit * apart;
        step *= apart;
    }
    if (form == Form::swapped) {  // the first axes lie innermost
        for (int32_t k = 0; k < rank - 1; k++) {
            tensor_.stride_bytes[k] = step;
            step *= std::max<int64_t>(1, v.shape[k]);
        }
    } else if (strided && form == Form::transposed) {
        tensor_.stride_bytes[rank - 2] = unit;
        for (int32_t k = rank - 3; k >= 0; k--) {
            tensor_.stride_bytes[k] = step;
            step *= std::max<int64_t>(1, v.shape[k]);
        }
    } else {
        for (int32_t k = rank - 2; k >= 0; k--) {
            if (form == Form::gaps) step += unit * (k == rank - 2 ? 16 : 1);
            tensor_.stride_bytes[k] = step;
            step *= std::max<int64_t>(1, v.shape[k]);
        }
    }
    // Up to the end of the last element: nothing behind it may be read.
    int64_t bytes = strided ? unit + (v.row_elems() - 1) * tensor_.stride_bytes[rank - 1] : row_bytes(*type_, v.row_elems());
    for (int32_t k = 0; k < rank - 1; k++) bytes += (v.shape[k] - 1) * tensor_.stride_bytes[k];
    const Fence fence = form == Form::fronted ? Fence::before : form == Form::contiguous || form == Form::swapped ? Fence::none : Fence::behind;
    memory_.push_back(std::make_unique<Guarded>(static_cast<size_t>(v.elems() ? bytes : 0), Guarded::kCanary, fence));
    tensor_.data = memory_[0]->data();
    tensor_.size_bytes = memory_[0]->size();
    if (!filled) return;
    each_row([&](uint8_t* row, size_t offset, size_t size) { std::memcpy(row, v.bytes.data() + offset, size); });
}

void Held::hold_rows(const Value& v, bool filled) {
    if (v.shape.empty()) throw std::runtime_error("layout rows needs a batch axis");
    const size_t bytes = static_cast<size_t>(v.shape[0] ? row_bytes(*type_, v.row_elems()) * v.rows() / v.shape[0] : 0);
    for (int64_t b = 0; b < v.shape[0]; b++) {
        memory_.push_back(std::make_unique<Guarded>(bytes));
        rows_.push_back(memory_.back()->data());
        if (filled && bytes) std::memcpy(rows_.back(), v.bytes.data() + static_cast<size_t>(b) * bytes, bytes);
    }
    tensor_.data = rows_.data();
}

void Held::hold_paged(const Value& v, bool filled) {
    if (v.shape.size() != 4) throw std::runtime_error("layout paged needs [B, S, Hkv, D], not " + shape_text(v.shape));
    const int64_t batch = v.shape[0], tokens = v.shape[1], heads = v.shape[2], size = v.page_tokens;
    const auto row = static_cast<size_t>(row_bytes(*type_, v.shape[3]));
    pages_.resize(static_cast<size_t>(batch));
    for (int64_t b = 0; b < batch; b++) {
        const auto n = static_cast<size_t>(b);
        for (int64_t p = 0; p * size < tokens; p++) {
            if ((p + 1) * size <= v.first[n]) {
                pages_[n].push_back(nullptr);
                continue;
            }
            memory_.push_back(std::make_unique<Guarded>(row * static_cast<size_t>(size * heads)));
            pages_[n].push_back(memory_.back()->data());
        }
        paged_.push_back({ORR_HEADER(orr_paged), pages_[n].data(), v.past[n], v.length[n], v.first[n], v.page_tokens});
    }
    for (const orr_paged& p : paged_) paged_pointers_.push_back(&p);
    tensor_.data = paged_pointers_.data();
    if (filled) fill_pages(v);
}

// Tokens before past alone: the others are the kernel's to write.
void Held::fill_pages(const Value& v) {
    const int64_t tokens = v.shape[1], heads = v.shape[2];
    const auto row = static_cast<size_t>(row_bytes(*type_, v.shape[3]));
    each_row([&](uint8_t* dst, size_t offset, size_t bytes) {
        const int64_t n = static_cast<int64_t>(offset / row) / heads;
        if (n % tokens < v.past[static_cast<size_t>(n / tokens)]) std::memcpy(dst, v.bytes.data() + offset, bytes);
    });
}

void Held::set_state(const Value& v) {
    if (!rows_.empty()) each_row([&](uint8_t* row, size_t offset, size_t size) { std::memcpy(row, v.bytes.data() + offset, size); });
    if (paged_.empty()) return;
    for (const auto& m : memory_) std::memset(m->data(), Guarded::kCanary, m->size());
    for (size_t b = 0; b < paged_.size(); b++) paged_[b].past = v.past[b], paged_[b].length = v.length[b], paged_[b].first = v.first[b];
    fill_pages(v);
}

void Held::move_state() {
    const auto moved = [&](void*& at) {
        const auto old = std::find_if(memory_.begin(), memory_.end(), [&](const auto& m) { return at && m->data() == at; });
        if (old == memory_.end()) return;  // a page that is gone, or another tensor's
        std::memset((*old)->data(), Guarded::kCanary, (*old)->size());
        auto other = std::make_unique<Guarded>((*old)->size());
        at = other->data();
        memory_.push_back(std::move(other));
    };
    for (void*& row : rows_) moved(row);
    for (auto& pages : pages_)
        for (void*& page : pages) moved(page);
}

template <class Body>
void Held::each_row(Body&& body) const {
    const orr_tensor& t = tensor_;
    int64_t rows = 1;
    for (int32_t k = 0; k + 1 < t.rank; k++) rows *= t.shape[k];
    const int64_t width = row_bytes(*type_, t.rank ? t.shape[t.rank - 1] : 1);
    if (width == 0) return;
    if (!paged_.empty()) {
        const int64_t tokens = t.shape[1], heads = t.shape[2];
        for (int64_t r = 0; r < rows; r++) {
            const int64_t b = r / heads / tokens, s = r / heads % tokens, h = r % heads;
            const orr_paged& p = *static_cast<const orr_paged* const*>(t.data)[b];
            if (s < p.first || s >= p.length) continue;
            auto* page = static_cast<uint8_t*>(p.pages[s / p.page_tokens]);
            body(page + (h * p.page_tokens + s % p.page_tokens) * width, static_cast<size_t>(r * width), static_cast<size_t>(width));
        }
        return;
    }
    if (!rows_.empty()) {
        const int64_t each = rows / t.shape[0];
        auto* const* data = static_cast<uint8_t* const*>(t.data);
        for (int64_t r = 0; r < rows; r++) body(data[r / each] + r % each * width, static_cast<size_t>(r * width), static_cast<size_t>(width));
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        int64_t rest = r, offset = 0;
        for (int32_t k = t.rank - 2; k >= 0; k--) {
            offset += rest % t.shape[k] * t.stride_bytes[k];
            rest /= t.shape[k];
        }
        auto* const row = static_cast<uint8_t*>(t.data) + offset;
        const int64_t unit = type_->block_bytes, step = t.rank ? t.stride_bytes[t.rank - 1] : unit;
        for (int64_t at = 0, piece = step == unit ? width : unit; at < width; at += piece)
            body(row + at / unit * step, static_cast<size_t>(r * width + at), static_cast<size_t>(piece));
    }
}

std::vector<uint8_t> Held::content() const {
    int64_t rows = 1;
    for (int32_t k = 0; k + 1 < tensor_.rank; k++) rows *= tensor_.shape[k];
    std::vector<uint8_t> out(static_cast<size_t>(rows * row_bytes(*type_, tensor_.rank ? tensor_.shape[tensor_.rank - 1] : 1)));
    each_row([&](const uint8_t* row, size_t offset, size_t size) { std::memcpy(out.data() + offset, row, size); });
    return out;
}

bool Held::disturb() const {
    if (type_->block || !type_->is_float() || !paged_.empty() || !rows_.empty() || tensor_.flags & ORR_TENSOR_CONSTANT) return false;
    const size_t width = type_->block_bytes;
    const size_t exponent = type_->number == ORR_TYPE_F64 ? 52 : type_->number == ORR_TYPE_F32 ? 23 : type_->number == ORR_TYPE_F16 ? 10 : 7;  // its lowest bit
    each_row([&](uint8_t* row, size_t, size_t bytes) {
        for (size_t k = 0; k < bytes; k += width) {  // little-endian, as all of this
            row[k + width - 1] ^= 0x80;
            row[k + exponent / 8] ^= static_cast<uint8_t>(1 << exponent % 8);
        }
    });
    return true;
}

bool Held::intact() const {
    return std::all_of(memory_.begin(), memory_.end(), [](const auto& m) { return m->intact(); });
}

// ---------------------------------------------------------------- random content

Value random_value(const Value& like, const std::vector<int64_t>& shape, std::mt19937_64& random) {
    Value out = like;
    out.shape = shape;
    const Type& t = *like.type;
    const auto rows = static_cast<size_t>(out.rows());
    if (t.block) {
        const size_t blocks = like.bytes.size() / t.block_bytes;
        if (blocks == 0) throw std::runtime_error("no blocks to draw from");
        if (out.row_elems() % t.block_elems) throw std::runtime_error("rows of " + std::to_string(out.row_elems()) + " are not whole blocks of " + t.id);
        out.bytes.resize(rows * static_cast<size_t>(row_bytes(t, out.row_elems())));
        for (size_t at = 0; at < out.bytes.size(); at += t.block_bytes)
            std::memcpy(out.bytes.data() + at, like.bytes.data() + random() % blocks * t.block_bytes, t.block_bytes);
        return out;
    }
    double low = INFINITY, high = -INFINITY;
    for (const double v : like.numbers()) {
        if (!std::isfinite(v)) continue;
        low = std::min(low, v);
        high = std::max(high, v);
    }
    if (low > high) low = high = 0;
    const auto count = static_cast<size_t>(out.elems());
    if (t.is_float()) {
        std::vector<double> values(count);
        std::uniform_real_distribution<double> draw(low, std::nextafter(high, INFINITY));
        for (double& v : values) v = draw(random);
        out.bytes = encode(t, values);
    } else {
        std::vector<int64_t> values(count);
        std::uniform_int_distribution<int64_t> draw(static_cast<int64_t>(low), static_cast<int64_t>(high));
        for (int64_t& v : values) v = draw(random);
        out.bytes = encode_integers(t, values);
    }
    return out;
}

}  // namespace orrery::conformance
