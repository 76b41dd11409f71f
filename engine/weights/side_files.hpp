// Tensor files beside a model's checkpoint, which its controls name: routers, adapters. Opened once, read tensor by tensor.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "engine/weights/model_files.hpp"
#include "engine/weights/weights.hpp"

namespace orrery {

class SideFiles {
  public:
    SideFiles(const orr_host* host, Registry& registry) : host_(host), registry_(registry) {}
    ~SideFiles();
    SideFiles(const SideFiles&) = delete;
    SideFiles& operator=(const SideFiles&) = delete;

    // As an f32 constant of `weights`; nullptr where the file has no such tensor. shape: -1 fits anything. Throws Error naming the file, the
    // tensor and both shapes, a type that is no float, a number that is not finite.
    std::shared_ptr<Constant> tensor(Weights& weights, const std::string& path, const std::string& name, const std::vector<int64_t>& shape);
    // Opens it anew when it is asked for again: what was refused may be another file then.
    void forget(const std::string& path);
    // Throws Error naming a tensor of the file that nobody asked for.
    void check_all_asked(const std::string& path, const std::set<std::string>& asked);

  private:
    struct File {
        std::unique_ptr<ModelFiles> files;
        orr_checkpoint* checkpoint = nullptr;
        std::map<std::string, const orr_tensor_entry*> tensors;
        std::map<std::string, std::weak_ptr<Constant>> made;  // while somebody uses them
    };
    File& open(const std::string& path);
    const orr_host* host_;
    Registry& registry_;
    std::mutex mutex_;
    std::map<std::string, File> open_;
};

// Opens what `files` holds with the first format that can. Throws Error with what each of them said.
orr_checkpoint* open_checkpoint(Registry& registry, ModelFiles& files);

}  // namespace orrery
