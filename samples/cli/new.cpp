// orrery new: a folder with an operator or a model of one's own, made from the SDK's templates.
#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <utility>

#include "common.hpp"

namespace orrery::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostNameBytes = 64;

struct Options {
    std::string kind, name, folder, prefix = "example", tree, family;
};

// What stands for what in file names and contents of a template.
using Words = std::vector<std::pair<std::string, std::string>>;

void check_identifier(const char* what, const std::string& text) {
    const auto is_good = [](unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
    if (text.empty() || text.size() > kMostNameBytes || text[0] < 'a' || text[0] > 'z' || !std::all_of(text.begin(), text.end(), is_good))
        throw UsageError(std::string(what) + " is \"" + text + "\"; it takes small letters, digits and _, a letter first, at most " +
                         std::to_string(kMostNameBytes));
}

// Names that mean something else to the build.
void check_free(const std::string& name) {
    for (const char* taken : {"common", "orrery"})
        if (name == taken) throw UsageError("NAME is \"" + name + "\", which the build uses itself");
}

// "fast_gelu" -> "FastGelu"
std::string pascal_case(const std::string& name) {
    std::string out;
    bool upper = true;
    for (const char c : name) {
        if (c == '_') {
            upper = true;
        } else {
            out += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
            upper = false;
        }
    }
    return out;
}

std::string replaced(std::string text, const Words& words) {
    for (const auto& [from, to] : words)
        for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
    return text;
}

// Beside the command in an installed tree and in a build folder alike: <folder of the command>/../share/orrery/templates/KIND.
fs::path template_folder(const std::string& kind) {
    const fs::path folder = (executable_path().parent_path().parent_path() / "share/orrery/templates" / kind).lexically_normal();
    if (!fs::is_directory(folder)) throw std::runtime_error("the SDK's templates are not installed: " + folder.string() + " does not exist");
    return folder;
}

std::string read_template(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    if (stream.bad() || !stream.is_open()) throw std::runtime_error(file.string() + " could not be read");
    return text;
}

struct NewFile {
    fs::path from, to;
};

// Where in a source tree a file of the template goes; empty: nowhere. The family's own files are written with a new family alone.
fs::path place_in_tree(const fs::path& inside, const Options& o, bool new_family) {
    const fs::path root = fs::path(o.tree), family = root / "plugins" / o.family;
    const std::string first = inside.begin()->string();
    if (first == "ops" || first == "models") return family / inside;
    if (first == "shaders") return root / "shaders" / o.family / fs::relative(inside, "shaders");
    const bool is_family_file = new_family && inside == "plugin.cmake";
    return is_family_file ? family / inside : fs::path();
}

std::vector<NewFile> list_files(const fs::path& source, const Options& o, const Words& words) {
    const bool in_tree = !o.tree.empty(), new_family = in_tree && !fs::exists(fs::path(o.tree) / "plugins" / o.family);
    std::vector<NewFile> files;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(source)) {
        if (!entry.is_regular_file() || entry.path().extension() == ".pyc") continue;
        const fs::path inside = replaced(entry.path().lexically_relative(source).generic_string(), words);
        const fs::path to = in_tree ? place_in_tree(inside, o, new_family) : fs::path(o.folder) / inside;
        if (!to.empty()) files.push_back({entry.path(), to});
    }
    if (files.empty()) throw std::runtime_error("the template " + source.string() + " is empty");
    std::sort(files.begin(), files.end(), [](const NewFile& a, const NewFile& b) { return a.to < b.to; });
    return files;
}

// Nothing is written where something lies already.
void refuse_to_overwrite(const std::vector<NewFile>& files, const Options& o) {
    if (o.tree.empty() && fs::exists(o.folder) && !(fs::is_directory(o.folder) && fs::is_empty(o.folder)))
        throw UsageError(o.folder + " exists already; --folder names another place");
    for (const NewFile& file : files)
        if (fs::exists(file.to)) throw UsageError(file.to.string() + " exists already");
}

// What was made so far; unless kept, it goes: half a folder would stand in the way of another try.
class Made {
  public:
    ~Made() {
        std::error_code failed;
        for (auto path = paths_.rbegin(); path != paths_.rend(); ++path) fs::remove(*path, failed);  // of folders such as are empty
    }
    void folders_of(const fs::path& file) {
        std::vector<fs::path> missing;
        for (fs::path folder = file.parent_path(); !folder.empty() && !fs::exists(folder); folder = folder.parent_path()) missing.push_back(folder);
        for (auto folder = missing.rbegin(); folder != missing.rend(); ++folder)
            if (fs::create_directory(*folder)) paths_.push_back(*folder);
    }
    void file(const fs::path& path) { paths_.push_back(path); }
    void keep() { paths_.clear(); }

  private:
    std::vector<fs::path> paths_;
};

void write_files(const std::vector<NewFile>& files, const Words& words) {
    Made made;
    for (const NewFile& file : files) {
        const std::string text = replaced(read_template(file.from), words);
        made.folders_of(file.to);
        std::ofstream stream(file.to, std::ios::binary);
        if (stream) made.file(file.to);
        stream << text;
        stream.close();
        if (!stream) throw std::runtime_error(file.to.string() + " could not be written");
        fs::permissions(file.to, fs::status(file.from).permissions() | fs::perms::owner_write);
    }
    made.keep();
}

Words words_of(const Options& o) {
    return {{"@name@", o.name},
            {"@Name@", pascal_case(o.name)},
            {"@plugin@", o.tree.empty() ? o.name : o.family},
            {"@prefix@", o.tree.empty() ? o.prefix : "orr"}};
}

int make_new(const Common& common, Options o) {
    check_identifier("NAME", o.name);
    check_free(o.name);
    check_identifier("--prefix", o.prefix);
    if (o.tree.empty() != o.family.empty()) throw UsageError("--tree and --family come together: plugins/FAMILY below TREE is where it goes");
    if (!o.tree.empty()) {
        check_identifier("--family", o.family);
        if (o.family == "common") throw UsageError("--family is \"common\", which holds what families share");
        if (!o.folder.empty()) throw UsageError("--folder and --tree exclude each other");
        if (!fs::is_directory(fs::path(o.tree) / "plugins"))
            throw UsageError(o.tree + " is no tree of Orrery's source: it has no folder \"plugins\"");
    } else if (o.folder.empty()) {
        o.folder = o.name;
    }
    const Words words = words_of(o);
    const std::vector<NewFile> files = list_files(template_folder(o.kind), o, words);
    refuse_to_overwrite(files, o);
    write_files(files, words);
    json result;
    result["kind"] = o.kind;
    result["name"] = o.name;
    result["id"] = o.kind == "op" ? replaced("@prefix@.@name@/1", words) : o.name;
    result["folder"] = o.tree.empty() ? o.folder : o.tree;
    result["files"] = json::array();
    for (const NewFile& file : files) result["files"].push_back(file.to.generic_string());
    if (common.json) {
        print_json(result);
        return kDone;
    }
    for (const NewFile& file : files) std::printf("%s\n", file.to.c_str());
    if (o.tree.empty()) std::printf("\n%s/README.md tells how it is built, checked and changed.\n", o.folder.c_str());
    return kDone;
}

}  // namespace

void add_new(CLI::App& app, Common& common, Action& action) {
    CLI::App* sub = app.add_subcommand("new", "Writes an operator or a model of your own, which builds and passes orrery-validate as it stands.");
    sub->require_subcommand(1);
    for (const auto& [kind, what] : {std::pair("op", "A plugin with one operator: definition, kernels for processor and Vulkan, cases."),
                                     std::pair("model", "A plugin with one architecture: configuration, weight table, graph, golden values.")}) {
        CLI::App* one = sub->add_subcommand(kind, what);
        auto o = std::make_shared<Options>();
        o->kind = kind;
        one->add_option("NAME", o->name, "its name: small letters, digits and _")->required();
        one->add_option("--folder", o->folder, "where to write it; NAME when absent");
        one->add_option("--prefix", o->prefix, "whose it is: its id is PREFIX.NAME/1")->capture_default_str();
        one->add_option("--tree", o->tree, "write it into this source tree of Orrery instead, as the others there are");
        one->add_option("--family", o->family, "with --tree: the folder below plugins/ and shaders/ that it goes to");
        one->add_flag("--json", common.json, "print JSON, and nothing else, on stdout");
        one->callback([&common, &action, o] { action = [&common, o] { return make_new(common, *o); }; });
    }
}

}  // namespace orrery::cli
