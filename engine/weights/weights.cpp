#include "engine/weights/weights.hpp"

#include <bit>
#include <cstring>

#include "engine/platform/files.hpp"
#include "engine/registry/error_text.hpp"

namespace orrery {
namespace {
constexpr uint64_t kPackSliceBytes = 16 << 20;
}

std::string shape_text(const std::vector<int64_t>& shape) {
    std::string out = "[";
    for (size_t i = 0; i < shape.size(); i++) out += (i ? ", " : "") + (shape[i] < 0 ? std::string("any") : std::to_string(shape[i]));
    return out + "]";
}

std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape, const TypeInfo& type) {
    std::vector<int64_t> strides(shape.size());
    int64_t step = type.block_bytes;
    for (size_t i = shape.size(); i-- > 0;) {
        strides[i] = step;
        step *= i + 1 == shape.size() ? (shape[i] + type.block_elems - 1) / type.block_elems : shape[i];
    }
    return strides;
}

uint64_t contiguous_bytes(const std::vector<int64_t>& shape, const TypeInfo& type, const std::string& what) {
    uint64_t bytes = shape.empty() ? type.block_bytes : type.row_bytes(shape.back(), what);
    for (size_t i = 0; i + 1 < shape.size(); i++)
        if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(shape[i]), &bytes)) throw Error(ORR_CORRUPT, what + ": shape " + shape_text(shape) + " overflows");
    return bytes;
}

namespace {

float half_to_float(uint16_t h) {
    const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, exponent = h >> 10 & 31, mantissa = h & 1023;
    if (exponent == 0) {
        const float tiny = static_cast<float>(mantissa) * 0x1p-24f;
        return sign ? -tiny : tiny;
    }
    return std::bit_cast<float>(sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13);
}

template <class T>
T read_as(const char* p) {
    T v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

float scalar_to_float(uint32_t type, const char* p) {
    switch (type) {
        case ORR_TYPE_F32: return read_as<float>(p);
        case ORR_TYPE_F16: return half_to_float(read_as<uint16_t>(p));
        case ORR_TYPE_BF16: return std::bit_cast<float>(static_cast<uint32_t>(read_as<uint16_t>(p)) << 16);
        case ORR_TYPE_F64: return static_cast<float>(read_as<double>(p));
        case ORR_TYPE_I8: return static_cast<float>(read_as<int8_t>(p));
        case ORR_TYPE_U8: return static_cast<float>(read_as<uint8_t>(p));
        case ORR_TYPE_I16: return static_cast<float>(read_as<int16_t>(p));
        case ORR_TYPE_U16: return static_cast<float>(read_as<uint16_t>(p));
        case ORR_TYPE_I32: return static_cast<float>(read_as<int32_t>(p));
        case ORR_TYPE_U32: return static_cast<float>(read_as<uint32_t>(p));
        case ORR_TYPE_I64: return static_cast<float>(read_as<int64_t>(p));
        case ORR_TYPE_U64: return static_cast<float>(read_as<uint64_t>(p));
        case ORR_TYPE_BOOL: return *p ? 1.f : 0.f;
        default: return 0.f;
    }
}

}  // namespace

void convert_to_f32(const orr_tensor& src, const TypeInfo& type, float* dst) {
    const int32_t rank = src.rank;
    const int64_t n = rank ? src.shape[rank - 1] : 1;
    const int64_t rows = rank ? elements(src) / (n ? n : 1) : 1;
    int64_t index[ORR_MAX_RANK] = {};
    for (int64_t r = 0; r < rows && n > 0; r++, dst += n) {
        const char* row = static_cast<const char*>(src.data);
        for (int32_t a = 0; a + 1 < rank; a++) row += index[a] * src.stride_bytes[a];
        if (type.type) {
            type.type->dequantise(row, dst, n);
        } else {
            const int64_t step = rank ? src.stride_bytes[rank - 1] : 0;
            for (int64_t i = 0; i < n; i++) dst[i] = scalar_to_float(type.number, row + i * step);
        }
        for (int32_t a = rank - 2; a >= 0 && ++index[a] == src.shape[a]; a--) index[a] = 0;
    }
}

Weights::Weights(const orr_host* host, Registry& registry, std::shared_ptr<Memory> memory, const orr_files* files, const orr_checkpoint* checkpoint)
    : host_(host), registry_(registry), memory_(std::move(memory)), files_(files) {
    for (uint64_t i = 0; checkpoint && i < checkpoint->tensor_count; i++) {
        const orr_tensor_entry* e = checkpoint->tensor(checkpoint, i);
        entries_[e->name] = e;
        checkpoint_bytes_ += e->size_bytes;
    }
}

const orr_tensor_entry* Weights::find(const std::string& name) const {
    const auto it = entries_.find(name);
    return it == entries_.end() ? nullptr : it->second;
}

std::shared_ptr<Constant> Weights::declare(const std::vector<std::string>& names, bool stack, const std::vector<int64_t>& shape) {
    const std::lock_guard lock(mutex_);
    std::string key = stack ? "s:" : "w:";
    for (const auto& n : names) key += n + ";";
    auto c = std::make_shared<Constant>();
    for (const auto& n : names) {
        const orr_tensor_entry* e = find(n);
        if (!e) throw Error(ORR_NOT_FOUND, "tensor " + n + " is missing (wanted " + shape_text(shape) + ")");
        const std::vector<int64_t> have(e->shape, e->shape + e->rank);
        bool fits = have.size() == shape.size();
        for (size_t i = 0; fits && i < have.size(); i++) fits = shape[i] < 0 || shape[i] == have[i];
        if (!fits) throw Error(ORR_INVALID_ARGUMENT, "tensor " + n + " has shape " + shape_text(have) + ", wanted " + shape_text(shape));
        const TypeInfo& type = registry_.find_type(e->type_id);
        if (c->type_ && (c->type_ != &type || c->shape_ != have))
            throw Error(ORR_INVALID_ARGUMENT, "tensor " + n + " is " + type.id + " " + shape_text(have) + ", " + names[0] + " beside it is " + c->type_->id + " " + shape_text(c->shape_));
        const uint64_t bytes = contiguous_bytes(have, type, "tensor " + n);
        if (bytes != e->size_bytes)
            throw Error(ORR_CORRUPT, "tensor " + n + " takes " + std::to_string(e->size_bytes) + " bytes in the file, its shape " + shape_text(have) + " of " + type.id + " takes " + std::to_string(bytes));
        c->type_ = &type;
        c->shape_ = have;
        c->entries_.push_back({e->file, e->offset, bytes});
        c->bytes_ += bytes;
        declared_[n] = true;
    }
    if (const auto it = constants_.find(key); it != constants_.end()) return it->second;
    if (stack) c->shape_.insert(c->shape_.begin(), static_cast<int64_t>(names.size()));
    c->key_ = key;
    c->name_ = names[0];
    c->sources_ = names;
    c->strides_ = contiguous_strides(c->shape_, *c->type_);
    return constants_[key] = c;
}

std::shared_ptr<Constant> Weights::make(const std::string& name, uint32_t type, const std::vector<int64_t>& shape, const void* data) {
    const std::lock_guard lock(mutex_);
    auto c = std::make_shared<Constant>();
    c->type_ = &registry_.type(type);
    c->shape_ = shape;
    c->strides_ = contiguous_strides(shape, *c->type_);
    c->bytes_ = contiguous_bytes(shape, *c->type_, "constant " + name);
    c->name_ = name;
    // FNV-1a over the contents, so that entries that make the same table share it.
    uint64_t hash = 1469598103934665603u;
    for (uint64_t i = 0; i < c->bytes_; i++) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 1099511628211u;
    c->key_ = "c:" + name + ":" + c->type_->id + shape_text(shape) + ":" + std::to_string(hash);
    if (const auto it = constants_.find(c->key_); it != constants_.end()) return it->second;
    c->owned_ = Buffer(memory_, c->bytes_, 64, "constant");
    if (c->bytes_) std::memcpy(c->owned_.data(), data, c->bytes_);
    return constants_[c->key_] = c;
}

std::shared_ptr<Constant> Weights::adopt(const std::string& key, const std::string& name, uint32_t type, const std::vector<int64_t>& shape, const std::function<void(void*)>& fill) {
    auto c = std::make_shared<Constant>();
    c->type_ = &registry_.type(type);
    c->shape_ = shape;
    c->strides_ = contiguous_strides(shape, *c->type_);
    c->bytes_ = contiguous_bytes(shape, *c->type_, name);
    c->key_ = key;
    c->name_ = name;
    c->owned_ = Buffer(memory_, c->bytes_, 64, name.c_str());
    fill(c->owned_.data());
    return c;
}

void Weights::forget(const std::string& mark) {
    const std::lock_guard lock(mutex_);
    std::erase_if(constants_, [&](const auto& c) { return c.first.find(mark) != std::string::npos; });
}

std::vector<std::string> Weights::tensor_names() const {
    std::vector<std::string> names;
    for (const auto& [name, entry] : entries_) names.push_back(name);
    return names;
}

std::shared_ptr<Constant> Weights::derive(const std::string& key, const std::string& name, uint32_t type, const std::vector<int64_t>& shape, std::function<Buffer()> fn) {
    const std::lock_guard lock(mutex_);
    if (const auto it = constants_.find(key); it != constants_.end()) return it->second;
    auto c = std::make_shared<Constant>();
    c->key_ = key;
    c->name_ = name;
    c->type_ = &registry_.type(type);
    c->shape_ = shape;
    c->strides_ = contiguous_strides(shape, *c->type_);
    c->bytes_ = contiguous_bytes(shape, *c->type_, "constant " + name);
    c->make_ = std::move(fn);
    return constants_[key] = c;
}

std::shared_ptr<Constant> Weights::view(const std::string& key, const std::shared_ptr<Constant>& base, const orr_tensor& as) {
    const std::lock_guard lock(mutex_);
    if (const auto it = constants_.find(key); it != constants_.end()) return it->second;
    auto c = std::make_shared<Constant>();
    c->key_ = key;
    c->name_ = base->name_;
    c->type_ = base->type_;
    c->shape_.assign(as.shape, as.shape + as.rank);
    c->strides_.assign(as.stride_bytes, as.stride_bytes + as.rank);
    c->bytes_ = contiguous_bytes(c->shape_, *c->type_, "view of " + base->name_);
    c->base_ = base;
    c->base_offset_ = as.offset;
    return constants_[key] = c;
}

void Weights::mark_part(const std::shared_ptr<Constant>& part, const std::shared_ptr<Constant>& base, uint64_t offset) {
    const std::lock_guard lock(mutex_);
    const size_t rank = base->shape_.size();
    if (part->whole_ || rank == 0 || part->shape_.size() != rank || part->type_ != base->type_ || base->strides_ != contiguous_strides(base->shape_, *base->type_)) return;
    std::vector<int64_t> first(rank);
    for (size_t a = 0; a < rank; a++) {
        const auto stride = static_cast<uint64_t>(base->strides_[a]);
        if (stride == 0) return;
        first[a] = static_cast<int64_t>(offset / stride) * (a + 1 == rank ? base->type_->block_elems : 1);
        offset %= stride;
        if (first[a] + part->shape_[a] > base->shape_[a]) return;
    }
    for (size_t a = 0; a < rank && base->whole_; a++) first[a] += base->first_[a];
    part->first_ = std::move(first);
    part->whole_ = base->whole_ ? base->whole_ : base;
}

std::shared_ptr<Constant> Weights::as_f32(const std::shared_ptr<Constant>& c) {
    if (c->type() == ORR_TYPE_F32 && c->strides() == contiguous_strides(c->shape(), c->type_info())) return c;
    const uint64_t bytes = contiguous_bytes(c->shape(), registry_.type(ORR_TYPE_F32), c->name());
    // `c` keeps its base alive; the model's map would keep both anyway.
    return derive("f32:" + c->key(), c->name(), ORR_TYPE_F32, c->shape(), [this, c, bytes] {
        Buffer out(memory_, bytes, 64, "weights converted to f32");
        const orr_tensor t = tensor(c, true);
        convert_to_f32(t, c->type_info(), static_cast<float*>(out.data()));
        release_source(c);
        return out;
    });
}

// Where the constant lies in a mapped file, nullptr where it lies in none or cannot be used there.
const char* Weights::mapped_at(const Constant& c) const {
    if (c.entries_.size() != 1 || !files_->map) return nullptr;
    const auto* base = static_cast<const char*>(files_->map(files_, c.entries_[0].file));
    const size_t alignment = c.type_->type ? 2 : c.type_->block_bytes;
    return base && reinterpret_cast<uintptr_t>(base + c.entries_[0].offset) % alignment == 0 ? base + c.entries_[0].offset : nullptr;
}

const void* Weights::data_locked(const std::shared_ptr<Constant>& c) {
    if (c->base_) return static_cast<const char*>(data_locked(c->base_)) + c->base_offset_;
    if (c->mapped_) return c->mapped_;
    if (c->owned_) return c->owned_.data();
    if (c->make_) {
        c->owned_ = c->make_();
        return c->owned_.data();
    }
    if (const char* at = mapped_at(*c)) return c->mapped_ = at;
    Buffer buffer(memory_, c->bytes_, 64, c->name_.c_str());
    char* at = buffer.bytes();
    for (const auto& part : c->entries_) {
        check(files_->read(files_, part.file, part.offset, part.bytes, at), "reading tensor " + c->name_);
        at += part.bytes;
    }
    c->owned_ = std::move(buffer);
    return c->owned_.data();
}

const void* Weights::data(const std::shared_ptr<Constant>& c) {
    const std::lock_guard lock(mutex_);
    c->pinned_ = true;
    return data_locked(c);
}

const void* Weights::in_place(const std::shared_ptr<Constant>& c) {
    if (!measuring_) return data(c);
    const std::lock_guard lock(mutex_);
    Constant& root = c->base_ ? *c->base_ : *c;
    if (root.pinned_ || root.owned_) return nullptr;
    root.pinned_ = true;
    if (mapped_at(root)) {
        mapped_bytes_ += root.bytes_;
        return nullptr;
    }
    memory_->count(root.bytes_);
    counted_bytes_ += root.bytes_;
    return nullptr;
}

// What has to be taken for as long as the constant is packed: its bytes where they lie in no mapped file; for computed ones those of the source too.
uint64_t Weights::reading_bytes(const Constant& c) const {
    const Constant& root = c.base_ ? *c.base_ : c;
    if (root.owned_ || mapped_at(root)) return 0;
    return root.make_ ? 2 * root.bytes_ : root.bytes_;
}

orr_tensor Weights::tensor(const std::shared_ptr<Constant>& c, bool with_data) {
    orr_tensor t{};
    t.header = ORR_HEADER(orr_tensor);
    t.type = c->type();
    t.type_id = c->type_info().id.c_str();
    t.layout = registry_.intern("");
    t.rank = static_cast<int32_t>(c->shape().size());
    for (int32_t i = 0; i < t.rank; i++) {
        t.shape[i] = c->shape()[static_cast<size_t>(i)];
        t.stride_bytes[i] = c->strides()[static_cast<size_t>(i)];
    }
    t.block_elems = c->type_info().block_elems;
    t.block_bytes = c->type_info().block_bytes;
    t.size_bytes = c->bytes();
    t.flags = ORR_TENSOR_CONSTANT;
    if (with_data) {
        const std::lock_guard lock(mutex_);
        t.data = const_cast<void*>(data_locked(c));
    }
    return t;
}

const void* Weights::pack(const std::shared_ptr<Constant>& c, const orr_pack& pack, const std::function<void(int64_t, orr_chunk_fn, void*)>& parallel) {
    const std::lock_guard lock(mutex_);
    const auto known = c->packed_.find(pack.layout);
    if (known != c->packed_.end()) {
        if (known->second.bytes != pack.bytes)
            throw Error(ORR_INTERNAL, "layout " + std::string(pack.layout) + " of " + c->name_ + " takes " + std::to_string(known->second.bytes) + " bytes and now " + std::to_string(pack.bytes));
        return known->second.buffer.data();
    }
    if (measuring_) {
        const uint64_t reading = reading_bytes(*c);
        memory_->count(pack.bytes + reading);
        memory_->discount(reading);
        c->packed_.emplace(pack.layout, Constant::Packed{Buffer(), pack.bytes});
        return nullptr;
    }
    Buffer packed(memory_, pack.bytes, pack.alignment, ("packed " + c->name_).c_str());
    const orr_tensor src = tensor(c, true);
    struct Arg {
        const orr_pack* pack;
        const orr_tensor* src;
        void* dst;
        int64_t first;
    } arg{&pack, &src, packed.data(), 0};
    // In slices, whose source pages are let go: source and packed form of a large tensor are never both resident.
    const int64_t slices = static_cast<int64_t>(c->bytes_ / kPackSliceBytes) + 1;
    const int64_t step = std::max<int64_t>(16, (pack.chunks + slices - 1) / slices);
    for (; arg.first < pack.chunks; arg.first += step) {
        parallel(
            std::min(step, pack.chunks - arg.first),
            [](void* a, int64_t chunk, uint32_t) { static_cast<Arg*>(a)->pack->pack(static_cast<Arg*>(a)->src, static_cast<Arg*>(a)->dst, static_cast<Arg*>(a)->first + chunk); }, &arg);
        if (arg.first + step < pack.chunks) release_mapped(c);
    }
    const void* result = packed.data();
    c->packed_.emplace(pack.layout, Constant::Packed{std::move(packed), pack.bytes});
    release_source(c);
    return result;
}

// Pages of the file that the constant lies in: read again should anyone ask.
bool Weights::release_mapped(const std::shared_ptr<Constant>& c) {
    const void* base = c->base_ ? c->base_->mapped_ : c->mapped_;
    if (base) platform::release_pages(static_cast<const char*>(base) + (c->base_ ? c->base_offset_ : 0), c->bytes_);
    return base || c->base_;
}

void Weights::release_source(const std::shared_ptr<Constant>& c) {
    const std::lock_guard lock(mutex_);
    if (!release_mapped(c) && !c->pinned_ && (!c->entries_.empty() || c->make_)) c->owned_ = Buffer();  // read or computed again should anyone ask
}

std::vector<std::string> Weights::unused() const {
    std::vector<std::string> out;
    for (const auto& [name, entry] : entries_)
        if (!declared_.count(name)) out.push_back(name);
    return out;
}

uint64_t Weights::resident_bytes() {
    const std::lock_guard lock(mutex_);
    uint64_t sum = counted_bytes_;
    for (const auto& [key, c] : constants_) {
        sum += c->owned_.size();
        for (const auto& [layout, p] : c->packed_) sum += p.bytes;
    }
    return sum;
}

nlohmann::ordered_json Weights::describe() {
    const std::lock_guard lock(mutex_);
    auto out = nlohmann::ordered_json::array();
    for (const auto& [key, c] : constants_) {
        auto layouts = nlohmann::ordered_json::object();
        for (const auto& [layout, p] : c->packed_) layouts[layout] = p.bytes;
        out.push_back({{"name", c->name_}, {"type", c->type_->id}, {"shape", c->shape_}, {"bytes", c->bytes_}, {"from_checkpoint", c->from_checkpoint()}, {"packed", layouts}});
    }
    return out;
}

}  // namespace orrery
