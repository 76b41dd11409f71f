// One plugin: what its manifest says, and the library once something in it is needed.
#pragma once
#include <boost/dll/shared_library.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "orrery/plugin.h"
#include "orrery/ext/expression.h"
#include "orrery/ext/adapters.h"
#include "orrery/ext/taps.h"
#include "orrery/ext/tasks.h"

namespace orrery {

class PluginFile {
  public:
    struct Format {
        std::string id;
        std::vector<std::string> endings, folder_files, magics;
    };
    struct Model {
        std::string id, summary;
        std::vector<std::string> architectures, gguf_architectures, operators;
    };
    struct Task {
        std::string id, summary, request;
    };
    struct Tap {
        std::string id, summary;
    };

    // Reads a manifest. Throws Error(ORR_CORRUPT) naming the file and the key.
    static PluginFile from_manifest(const std::string& path);
    // A statically linked plugin: opened at once.
    static PluginFile from_entry(orr_plugin_entry_fn entry, const orr_host* host);

    // Opens the library when that has not been done. Throws Error: other ABI major, other sanitizer, an entry that
    // fails or throws, contents that differ from the manifest.
    const orr_plugin* load(const orr_host* host);
    bool loaded() const { return plugin_ != nullptr; }
    template <class Table>
    const Table* extension(const char* id) const {
        return static_cast<const Table*>(plugin_->get_extension(id));
    }

    const std::string& id() const { return id_; }
    const std::string& version() const { return version_; }
    const std::string& licence() const { return licence_; }
    const std::string& path() const { return path_; }
    const std::string& manifest_path() const { return manifest_path_; }
    const std::vector<std::string>& operators() const { return operators_; }
    const std::vector<std::string>& types() const { return types_; }
    const std::vector<std::string>& rewrites() const { return rewrites_; }
    const std::vector<std::string>& tokenizers() const { return tokenizers_; }
    const std::vector<Format>& formats() const { return formats_; }
    const std::vector<Model>& models() const { return models_; }
    const std::vector<Task>& tasks() const { return tasks_; }
    const std::vector<Tap>& taps() const { return taps_; }
    const std::vector<Tap>& adapters() const { return adapters_; }

  private:
    const orr_plugin* enter(orr_plugin_entry_fn entry, const orr_host* host) const;
    void check_contents() const;
    void read_contents();
    std::string id_, version_, licence_, path_, manifest_path_, sanitizer_;
    uint32_t abi_major_ = 0;
    std::vector<std::string> operators_, types_, rewrites_, tokenizers_;
    std::vector<Format> formats_;
    std::vector<Model> models_;
    std::vector<Task> tasks_;
    std::vector<Tap> taps_, adapters_;
    boost::dll::shared_library library_;
    const orr_plugin* plugin_ = nullptr;
};

}  // namespace orrery
