// The bytes of one model: a folder, a file, memory, or the host's I/O, as orr_files.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "orrery/orrery.h"
#include "orrery/plugin.h"

namespace orrery {

class ModelFiles {
  public:
    virtual ~ModelFiles() = default;
    // Chosen by what the options give. Throws Error when the path does not exist or nothing was given.
    static std::unique_ptr<ModelFiles> open(const orr_host* host, const orr_model_options& options);

    const orr_files* table() const { return &table_.base; }
    bool exists(const std::string& name) { return number(name) >= 0; }
    const std::string& path() const { return path_; }
    // A whole small file; throws when it is over `limit` bytes.
    std::string read_text(const std::string& name, uint64_t limit);

    virtual int32_t number(const std::string& name) = 0;
    virtual uint64_t size(int32_t file) = 0;
    virtual void read(int32_t file, uint64_t offset, uint64_t bytes, void* dst) = 0;
    virtual const void* map(int32_t file) = 0;

  protected:
    ModelFiles(const orr_host* host, std::string path);

  private:
    struct Table {
        orr_files base;
        ModelFiles* self;
    } table_;
    static ModelFiles& of(const orr_files* f) { return *reinterpret_cast<const Table*>(f)->self; }
    std::string path_;
};

}  // namespace orrery
