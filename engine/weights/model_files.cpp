#include "engine/weights/model_files.hpp"

#include <cstring>

#include "engine/platform/files.hpp"
#include "engine/registry/error_text.hpp"
#include "engine/run/options.hpp"

namespace orrery {
namespace {

// Relative, without "..", drive letters or doubled slashes.
bool is_inside(const std::string& name) {
    if (name.empty()) return true;
    if (name[0] == '/' || name.find('\\') != std::string::npos || name.find(':') != std::string::npos) return false;
    size_t at = 0;
    while (at <= name.size()) {
        const size_t end = std::min(name.find('/', at), name.size());
        const std::string part = name.substr(at, end - at);
        if (part.empty() || part == "..") return false;
        at = end + 1;
    }
    return true;
}

void check_range(const std::string& what, uint64_t size, uint64_t offset, uint64_t bytes) {
    if (offset > size || bytes > size - offset)
        throw Error(ORR_CORRUPT, what + ": bytes " + std::to_string(offset) + " to " + std::to_string(offset + bytes) + " of a file of " + std::to_string(size));
}

class PathFiles : public ModelFiles {
  public:
    PathFiles(const orr_host* host, const std::string& path) : ModelFiles(host, path), folder_(platform::is_folder(path)) {
        if (!folder_ && !platform::is_file(path)) throw Error(ORR_NOT_FOUND, path + ": " + platform::why_not_there(path));
    }
    int32_t number(const std::string& name) override {
        const std::lock_guard lock(mutex_);
        for (size_t i = 0; i < names_.size(); i++)
            if (names_[i] == name) return static_cast<int32_t>(i);
        if (!is_inside(name)) return -1;
        std::string full = path();
        if (folder_) {
            if (name.empty()) return -1;
            full += "/" + name;
        } else if (!name.empty()) {
            // A side file beside a one-file model.
            const size_t slash = full.rfind('/');
            full = slash == std::string::npos ? name : full.substr(0, slash + 1) + name;
        }
        if (!platform::is_file(full)) return -1;
        names_.push_back(name);
        files_.push_back(std::make_unique<platform::MappedFile>(full));
        return static_cast<int32_t>(names_.size() - 1);
    }
    uint64_t size(int32_t file) override { return at(file).size(); }
    void read(int32_t file, uint64_t offset, uint64_t bytes, void* dst) override {
        const auto& f = at(file);
        check_range(path(), f.size(), offset, bytes);
        if (bytes) std::memcpy(dst, static_cast<const char*>(f.data()) + offset, bytes);
    }
    const void* map(int32_t file) override { return at(file).data(); }

  private:
    const platform::MappedFile& at(int32_t file) {
        const std::lock_guard lock(mutex_);
        if (file < 0 || static_cast<size_t>(file) >= files_.size()) throw Error(ORR_INVALID_ARGUMENT, "file number " + std::to_string(file) + " is not open");
        return *files_[static_cast<size_t>(file)];
    }
    bool folder_;
    std::mutex mutex_;
    std::vector<std::string> names_;
    std::vector<std::unique_ptr<platform::MappedFile>> files_;
};

class BlobFiles : public ModelFiles {
  public:
    BlobFiles(const orr_host* host, const orr_blob* const* blobs, uint32_t count) : ModelFiles(host, "(memory)") {
        for (uint32_t i = 0; i < count; i++) {
            const orr_blob b = copy_options(blobs[i], "orr_blob");
            if (!blobs[i] || (!b.data && b.size)) throw Error(ORR_INVALID_ARGUMENT, "blob " + std::to_string(i) + " has no data");
            blobs_.push_back({b.name ? b.name : "", static_cast<const char*>(b.data), b.size});
        }
    }
    int32_t number(const std::string& name) override {
        for (size_t i = 0; i < blobs_.size(); i++)
            if (blobs_[i].name == name) return static_cast<int32_t>(i);
        return -1;
    }
    uint64_t size(int32_t file) override { return blobs_.at(static_cast<size_t>(file)).size; }
    void read(int32_t file, uint64_t offset, uint64_t bytes, void* dst) override {
        const Blob& b = blobs_.at(static_cast<size_t>(file));
        check_range("blob " + b.name, b.size, offset, bytes);
        if (bytes) std::memcpy(dst, b.data + offset, bytes);
    }
    const void* map(int32_t) override { return nullptr; }  // not ours to advise about; reads copy

  private:
    struct Blob {
        std::string name;
        const char* data;
        uint64_t size;
    };
    std::vector<Blob> blobs_;
};

class IoFiles : public ModelFiles {
  public:
    IoFiles(const orr_host* host, const orr_io& io) : ModelFiles(host, "(host I/O)"), io_(io) {
        if (!io_.open || !io_.size || !io_.read) throw Error(ORR_INVALID_ARGUMENT, "orr_io: open, size and read must be given");
    }
    int32_t number(const std::string& name) override {
        const int32_t file = is_inside(name) ? io_.open(io_.user, name.c_str()) : -1;
        if (file < 0) return -1;
        if (const uint64_t bytes = size(file); bytes > INT64_MAX)  // what a host gives that cannot tell
            throw Error(ORR_IO, "host I/O: the size of file \"" + name + "\" is told as " + std::to_string(bytes) + " bytes");
        return file;
    }
    uint64_t size(int32_t file) override { return io_.size(io_.user, file); }
    void read(int32_t file, uint64_t offset, uint64_t bytes, void* dst) override {
        check_range(path(), size(file), offset, bytes);
        if (bytes && io_.read(io_.user, file, offset, bytes, dst) != 0)
            throw Error(ORR_IO, "host I/O: reading " + std::to_string(bytes) + " bytes at " + std::to_string(offset) + " of file " + std::to_string(file) + " failed");
    }
    const void* map(int32_t) override { return nullptr; }

  private:
    orr_io io_;
};

}  // namespace

ModelFiles::ModelFiles(const orr_host* host, std::string path) : path_(std::move(path)) {
    table_.self = this;
    table_.base = {ORR_HEADER(orr_files),
                   host,
                   [](const orr_files* f, const char* name) -> int32_t {
                       int32_t n = -1;
                       boundary([&] { n = of(f).number(name); });
                       return n;
                   },
                   [](const orr_files* f, int32_t file) -> uint64_t {
                       uint64_t n = 0;
                       boundary([&] { n = of(f).size(file); });
                       return n;
                   },
                   [](const orr_files* f, int32_t file, uint64_t offset, uint64_t bytes, void* dst) { return boundary([&] { of(f).read(file, offset, bytes, dst); }); },
                   [](const orr_files* f, int32_t file) -> const void* {
                       const void* p = nullptr;
                       boundary([&] { p = of(f).map(file); });
                       return p;
                   },
                   path_.c_str()};
}

std::unique_ptr<ModelFiles> ModelFiles::open(const orr_host* host, const orr_model_options& o) {
    const int given = (o.path != nullptr) + (o.io != nullptr) + (o.blobs != nullptr && o.blob_count > 0);
    if (given != 1) throw Error(ORR_INVALID_ARGUMENT, "orr_model_options: exactly one of path, io and blobs must be given, " + std::to_string(given) + " are");
    if (o.path) return std::make_unique<PathFiles>(host, o.path);
    if (o.io) return std::make_unique<IoFiles>(host, copy_options(o.io, "orr_io"));
    return std::make_unique<BlobFiles>(host, o.blobs, o.blob_count);
}

std::string ModelFiles::read_text(const std::string& name, uint64_t limit) {
    const int32_t file = number(name);
    if (file < 0) throw Error(ORR_NOT_FOUND, path_ + ": has no " + name);
    const uint64_t bytes = size(file);
    if (bytes > limit) throw Error(ORR_CORRUPT, path_ + ": " + name + " is " + std::to_string(bytes) + " bytes, the most is " + std::to_string(limit));
    std::string text(bytes, '\0');
    read(file, 0, bytes, text.data());
    return text;
}

}  // namespace orrery
