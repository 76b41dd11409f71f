// A file that a command writes: whole or not at all.
#ifndef ORRERY_CLI_OUTPUT_FILE_HPP
#define ORRERY_CLI_OUTPUT_FILE_HPP

#include <cstdio>
#include <string>

namespace orrery::cli {

// Written beside its place and moved there by keep(), so that what stood there stays until all is written. What is there and no regular file, a
// device or a pipe, is written itself. Throws host::Error (ORR_IO) that names the path.
class OutputFile {
  public:
    explicit OutputFile(const std::string& path);
    ~OutputFile();  // forgets what was not kept
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;
    FILE* stream() { return stream_; }
    void write(const void* bytes, size_t size);
    void keep();

  private:
    std::string path_, target_;  // target_: of a link, what it leads to
    std::string partial_;        // "": the target itself
    FILE* stream_ = nullptr;
};

}  // namespace orrery::cli
#endif
