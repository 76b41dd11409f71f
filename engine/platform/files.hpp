// Operating system calls on files and memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace orrery::platform {

// A file mapped read-only. Throws Error(ORR_NOT_FOUND | ORR_IO) naming the path.
class MappedFile {
  public:
    explicit MappedFile(const std::string& path);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    const void* data() const { return data_; }
    uint64_t size() const { return size_; }

  private:
    void* data_ = nullptr;
    uint64_t size_ = 0;
};

// Gives the whole pages inside [data, data + bytes) back to the operating system; a mapped file reads them again when needed.
void release_pages(const void* data, uint64_t bytes);
// Tells that [data, data + bytes) will be read soon.
void will_need(const void* data, uint64_t bytes);

// Anonymous memory in 2 MiB steps, advised to use huge pages. nullptr when refused.
void* map_anonymous(size_t bytes);
void unmap_anonymous(void* memory, size_t bytes);
constexpr size_t kHugePageBytes = size_t{2} << 20;

bool is_folder(const std::string& path);
bool is_file(const std::string& path);
uint64_t available_memory_bytes();
// Why there is nothing to open at `path`, where it is neither a file nor a folder.
std::string why_not_there(const std::string& path);
// Folder of the file that holds this code (liborrery), "" when unknown.
std::string own_folder();
// The user's folder for things that can be made again, "" when unknown or elevated.
std::string cache_folder();
// vkGetInstanceProcAddr of the system's Vulkan loader, nullptr when there is none. The loader stays loaded.
void* vulkan_loader();
// Writes a file whole or not at all; false when it could not. Until it is whole it has a name of its own, which ends in kPartial.
bool replace_file(const std::string& path, const void* data, uint64_t bytes);
constexpr const char* kPartial = ".partial";
// Removes what processes that were killed in replace_file have left in a folder, of files whose names begin with `prefix`. Whether a process still lives
// cannot be told where several machines or containers share the folder, so age decides: nothing is written for an hour. What another removes
// meanwhile, or what cannot be removed, is passed over.
void remove_abandoned(const std::string& folder, const std::string& prefix);
// Whether the process runs with raised rights, where environment overrides are ignored.
bool is_elevated();
void name_thread(const char* name);
// The library that holds this code stays mapped to the end of the process.
void keep_library(const void* code);

}  // namespace orrery::platform
