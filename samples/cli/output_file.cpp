#include "output_file.hpp"

#include <filesystem>

#include "common.hpp"

namespace orrery::cli {

namespace fs = std::filesystem;

OutputFile::OutputFile(const std::string& path) : path_(path), target_(path) {
    std::error_code failed;
    const fs::file_status there = fs::status(path, failed);
    if (fs::is_symlink(fs::symlink_status(path, failed)) && fs::exists(there)) target_ = fs::canonical(path, failed).string();
    if (!fs::exists(there) || fs::is_regular_file(there)) partial_ = target_ + ".partial";
    stream_ = std::fopen((partial_.empty() ? target_ : partial_).c_str(), "wb");
    if (!stream_) throw host::Error(ORR_IO, path_ + ": cannot be opened for writing");
}

OutputFile::~OutputFile() {
    if (stream_) std::fclose(stream_);
    if (!partial_.empty()) std::remove(partial_.c_str());  // not there any more where it was kept
}

void OutputFile::write(const void* bytes, size_t size) {
    if (size && std::fwrite(bytes, 1, size, stream_) != size) throw host::Error(ORR_IO, path_ + ": writing failed");
}

void OutputFile::keep() {
    const bool closed = std::fclose(stream_) == 0;
    stream_ = nullptr;
    if (!closed) throw host::Error(ORR_IO, path_ + ": writing failed");
    std::error_code failed;
    if (!partial_.empty()) fs::rename(partial_, target_, failed);
    if (failed) throw host::Error(ORR_IO, path_ + ": " + failed.message());
}

}  // namespace orrery::cli
