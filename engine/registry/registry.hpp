// What can be loaded: manifests of all plugin folders, indexed by what they contain; libraries opened on first need.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine/registry/plugin_file.hpp"

namespace orrery {

// Element type as the engine knows it.
struct TypeInfo {
    uint32_t number = 0;
    std::string id;
    uint32_t block_elems = 1, block_bytes = 0;
    const orr_type* type = nullptr;  // block types

    // Bytes of n elements along one row; throws when n is not whole blocks.
    uint64_t row_bytes(int64_t n, const std::string& what) const;
};

class Registry {
  public:
    explicit Registry(const orr_host* host);

    // Reads every *.orrery.json of a folder. A manifest that cannot be read, or that claims an id which another plugin
    // has, is kept out and told through problems(). Throws when the folder does not exist and `required`.
    void scan(const std::string& folder, bool required);
    void rescan();
    // Throws Error(ORR_CONFLICT) when it claims an id that is taken.
    void add_static(orr_plugin_entry_fn entry);

    // Throws Error(ORR_NOT_FOUND) naming the id.
    const orr_operator& find_operator(const std::string& id);
    bool knows_operator(const std::string& id);
    const TypeInfo& find_type(const std::string& id);
    const TypeInfo& type(uint32_t number);
    const orr_task_kind& find_task(const std::string& id);
    const orr_tap_kind& find_tap(const std::string& id);
    const orr_adapter_kind& find_adapter(const std::string& id);

    // Formats whose manifest fits; loaded in this order until one opens.
    std::vector<const orr_format*> formats_for(const std::string& file_name, const std::vector<uint8_t>& first_bytes,
                                               const std::function<bool(const std::string&)>& folder_has);
    // The architecture that answers to one of the names that a checkpoint gives, the first name first.
    const orr_model_arch& find_model(const std::vector<std::string>& names);
    // Loaded tokeniser kinds, in manifest order.
    std::vector<const orr_tokenizer_kind*> tokenizers();
    // Rewrites of the loaded plugins, in id order.
    std::vector<const orr_rewrite*> rewrites();
    // An operator of a loaded plugin that has this trait, nullptr when there is none.
    const orr_operator* operator_with(uint32_t trait);
    // What an elementwise operator's plugin tells of its formula, nullptr when it tells nothing.
    const orr_formula* formula(const orr_operator& op);
    void load_all();

    nlohmann::ordered_json describe(const std::string& what);
    const char* intern(const std::string& text);  // equal texts give equal pointers, for the registry's life

  private:
    void add_problem(const std::string& text);  // told once
    void add(PluginFile file);
    void load(PluginFile& file);
    PluginFile* owner(const std::map<std::string, PluginFile*>& index, const std::string& id);
    void register_block_types(PluginFile& file);

    const orr_host* host_;
    std::recursive_mutex mutex_;
    std::deque<PluginFile> files_;
    std::map<std::string, PluginFile*> by_operator_, by_type_, by_task_, by_tap_, by_adapter_, by_model_, by_plugin_;
    std::map<std::string, const orr_operator*> operators_;
    std::map<const orr_operator*, const orr_formula*> formulas_;
    std::map<std::string, uint32_t> type_numbers_;
    std::deque<TypeInfo> types_;  // by number below ORR_TYPE_FIRST_BLOCK: plain ones first
    std::map<uint32_t, const TypeInfo*> type_by_number_;
    std::vector<std::string> folders_;
    std::vector<std::string> problems_;
    std::map<std::string, std::string, std::less<>> interned_;
};

}  // namespace orrery
