#include "common/checkpoint.h"

namespace orrery::formats {

namespace {

orr_status status_of(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::kCorrupt:
            return ORR_CORRUPT;
        case ErrorKind::kUnsupported:
            return ORR_UNSUPPORTED;
        case ErrorKind::kIo:
            return ORR_IO;
        case ErrorKind::kNotFound:
            return ORR_NOT_FOUND;
        case ErrorKind::kWrongType:
            return ORR_CORRUPT;
    }
    return ORR_INTERNAL;
}

}  // namespace

std::unique_ptr<Source> open_source(const orr_files* files, int32_t file) {
    const uint64_t size = files->size(files, file);
    if (const void* bytes = files->map ? files->map(files, file) : nullptr) return std::make_unique<MemorySource>(bytes, size);
    return std::make_unique<CallbackSource>(
        size, [files, file](uint64_t offset, uint64_t count, void* dst) { return files->read(files, file, offset, count, dst) == ORR_OK; });
}

std::string read_text(const orr_files* files, int32_t file) {
    const auto source = open_source(files, file);
    std::string text(static_cast<size_t>(source->size()), '\0');
    source->read(0, source->size(), text.data());
    return text;
}

std::string model_name(const orr_files* files) { return files->path && *files->path ? "model " + in_quotes(files->path) : "the model"; }

orr_status open_guarded(const orr_files* files, orr_checkpoint** checkpoint, orr_checkpoint* (*open)(const orr_files*)) {
    return guard(files->host, [&] {
        try {
            *checkpoint = open(files);
        } catch (const FormatError& error) {
            throw Error(status_of(error.kind()), model_name(files) + ": " + error.what());
        }
    });
}

Checkpoint::Checkpoint(const char* format_id, std::vector<std::string> architecture_names, std::string config_text)
    : orr_checkpoint{}, architecture_names_(std::move(architecture_names)), config_text_(std::move(config_text)) {
    for (const std::string& name : architecture_names_) architecture_pointers_.push_back(name.c_str());
    architecture_pointers_.push_back(nullptr);
    orr_checkpoint& table = *this;
    table.header = ORR_HEADER(orr_checkpoint);
    table.format = format_id;
    table.architectures = architecture_pointers_.data();
    table.config_json = config_text_.c_str();
    table.tensor = [](const orr_checkpoint* c, uint64_t index) -> const orr_tensor_entry* {
        const auto* self = static_cast<const Checkpoint*>(c);
        return index < self->entries_.size() ? &self->entries_[static_cast<size_t>(index)] : nullptr;
    };
    table.get_strings = [](const orr_checkpoint* c, const char* key, const char* const** values, const uint64_t** sizes) -> uint64_t {
        const auto* self = static_cast<const Checkpoint*>(c);
        const Strings* found = self->cached(self->strings_, key, &Checkpoint::load_strings);
        if (!found) return 0;
        *values = found->values.data();
        *sizes = found->sizes.data();
        return found->values.size();
    };
    table.get_floats = [](const orr_checkpoint* c, const char* key, const float** values) -> uint64_t {
        const auto* self = static_cast<const Checkpoint*>(c);
        const auto* found = self->cached(self->floats_, key, &Checkpoint::load_floats);
        if (!found) return 0;
        *values = found->data();
        return found->size();
    };
    table.get_ints = [](const orr_checkpoint* c, const char* key, const int64_t** values) -> uint64_t {
        const auto* self = static_cast<const Checkpoint*>(c);
        const auto* found = self->cached(self->ints_, key, &Checkpoint::load_ints);
        if (!found) return 0;
        *values = found->data();
        return found->size();
    };
    table.close = [](orr_checkpoint* c) { delete static_cast<Checkpoint*>(c); };
}

void Checkpoint::set_tensors(TensorDirectory directory, const std::vector<int32_t>& file_numbers) {
    directory_ = std::move(directory);
    entries_.reserve(directory_.tensors().size());
    for (const TensorEntry& source : directory_.tensors()) {
        orr_tensor_entry entry{};
        entry.header = ORR_HEADER(orr_tensor_entry);
        entry.name = source.name.c_str();
        entry.type_id = source.type->id.data();  // views of string literals, hence NUL-terminated
        entry.rank = static_cast<int32_t>(source.shape.size());
        for (size_t axis = 0; axis < source.shape.size(); ++axis) entry.shape[axis] = static_cast<int64_t>(source.shape[axis]);
        entry.file = file_numbers[source.file];
        entry.offset = source.offset;
        entry.size_bytes = source.size_bytes;
        entries_.push_back(entry);
    }
    tensor_count = entries_.size();
}

template <typename Array>
const Array* Checkpoint::cached(Cache<Array>& cache, const char* key, bool (Checkpoint::*load)(std::string_view, Array&) const) const noexcept try {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = cache.arrays.find(key);
    if (it != cache.arrays.end()) return it->second.get();
    auto array = std::make_unique<Array>();
    if (!(this->*load)(key, *array)) array.reset();
    return cache.arrays.emplace(key, std::move(array)).first->second.get();
} catch (...) {
    return nullptr;  // out of memory: as absent, which is what the interface can say
}

}  // namespace orrery::formats
