#include "engine/weights/side_files.hpp"

#include <cmath>

#include "engine/registry/error_text.hpp"

namespace orrery {

orr_checkpoint* open_checkpoint(Registry& registry, ModelFiles& files) {
    std::vector<uint8_t> first;
    if (const int32_t file = files.number(""); file >= 0) {
        first.resize(static_cast<size_t>(std::min<uint64_t>(files.size(file), 16)));
        files.read(file, 0, first.size(), first.data());
    }
    const auto formats = registry.formats_for(files.path(), first, [&](const std::string& name) { return files.exists(name); });
    if (formats.empty()) {
        std::string known;
        for (const auto& f : registry.describe("formats")) known += (known.empty() ? "" : ", ") + f["id"].get<std::string>();
        throw Error(ORR_UNSUPPORTED, files.path() + ": no format plugin knows this; formats: " + known);
    }
    std::string problems;
    orr_status status = ORR_UNSUPPORTED;
    for (const orr_format* format : formats) {
        orr_checkpoint* opened = nullptr;
        try {
            call_plugin([&] { return format->open(files.table(), &opened); }, [] { return std::string(); });
            return opened;
        } catch (const Error& e) {
            status = e.code();
            problems += (problems.empty() ? "" : "; ") + std::string(e.what());
        }
    }
    throw Error(status, problems);
}

SideFiles::~SideFiles() {
    for (auto& [path, file] : open_)
        if (file.checkpoint) file.checkpoint->close(file.checkpoint);
}

void SideFiles::forget(const std::string& path) {
    const std::lock_guard lock(mutex_);
    const auto at = open_.find(path);
    if (at == open_.end()) return;
    if (at->second.checkpoint) at->second.checkpoint->close(at->second.checkpoint);
    open_.erase(at);
}

SideFiles::File& SideFiles::open(const std::string& path) {
    if (const auto it = open_.find(path); it != open_.end()) return it->second;
    File file;
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    options.path = path.c_str();
    file.files = ModelFiles::open(host_, options);
    file.checkpoint = open_checkpoint(registry_, *file.files);
    File& kept = open_[path] = std::move(file);
    for (uint64_t i = 0; i < kept.checkpoint->tensor_count; i++)
        if (const orr_tensor_entry* e = kept.checkpoint->tensor(kept.checkpoint, i)) kept.tensors[e->name] = e;
    return kept;
}

std::shared_ptr<Constant> SideFiles::tensor(Weights& weights, const std::string& path, const std::string& name, const std::vector<int64_t>& shape) {
    const std::lock_guard lock(mutex_);
    File& file = open(path);
    const auto at = file.tensors.find(name);
    if (at == file.tensors.end()) return nullptr;
    const orr_tensor_entry& e = *at->second;
    const std::vector<int64_t> have(e.shape, e.shape + e.rank);
    bool fits = have.size() == shape.size();
    for (size_t i = 0; fits && i < have.size(); i++) fits = shape[i] == -1 || shape[i] == have[i];
    if (!fits) throw Error(ORR_INVALID_ARGUMENT, path + ": tensor " + name + " has shape " + shape_text(have) + ", wanted " + shape_text(shape));
    if (std::shared_ptr<Constant> known = file.made[name].lock()) return known;
    const TypeInfo& type = registry_.find_type(e.type_id);
    if (type.number != ORR_TYPE_F32 && type.number != ORR_TYPE_F16 && type.number != ORR_TYPE_BF16 && type.number != ORR_TYPE_F64)
        throw Error(ORR_UNSUPPORTED, path + ": tensor " + name + " is " + type.id + ", wanted f32, f16, bf16 or f64");
    if (have.empty() || have.back() % type.block_elems) throw Error(ORR_UNSUPPORTED, path + ": tensor " + name + " is " + type.id + " " + shape_text(have));
    if (contiguous_bytes(have, type, name) != e.size_bytes) throw Error(ORR_CORRUPT, path + ": tensor " + name + " has " + std::to_string(e.size_bytes) + " bytes, its shape takes " + std::to_string(contiguous_bytes(have, type, name)));
    std::vector<char> raw(e.size_bytes);
    file.files->read(e.file, e.offset, e.size_bytes, raw.data());
    orr_tensor src{};
    src.header = ORR_HEADER(orr_tensor);
    src.type = type.number;
    src.type_id = type.id.c_str();
    src.rank = e.rank;
    const auto strides = contiguous_strides(have, type);
    int64_t n = 1;
    for (int32_t i = 0; i < e.rank; i++) src.shape[i] = have[static_cast<size_t>(i)], src.stride_bytes[i] = strides[static_cast<size_t>(i)], n *= have[static_cast<size_t>(i)];
    src.block_elems = type.block_elems;
    src.block_bytes = type.block_bytes;
    src.size_bytes = e.size_bytes;
    src.data = raw.data();
    std::vector<float> values(static_cast<size_t>(n));
    convert_to_f32(src, type, values.data());
    for (size_t i = 0; i < values.size(); i++)
        if (!std::isfinite(values[i])) throw Error(ORR_CORRUPT, path + ": tensor " + name + " holds " + std::to_string(values[i]) + " at index " + std::to_string(i));
    std::shared_ptr<Constant> made = weights.make(name, ORR_TYPE_F32, have, values.data());
    file.made[name] = made;
    return made;
}

void SideFiles::check_all_asked(const std::string& path, const std::set<std::string>& asked) {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, entry] : open(path).tensors)
        if (!asked.count(name))
            throw Error(ORR_INVALID_ARGUMENT, path + ": tensor " + name + " " + shape_text({entry->shape, entry->shape + entry->rank}) + " is of no use to this model");
}

}  // namespace orrery
