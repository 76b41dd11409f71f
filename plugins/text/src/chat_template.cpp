#include "jinja_interpreter.hpp"
#include "unicode.hpp"

namespace orrery::text {

struct ChatTemplate::Program {
    jinja::Nodes nodes;
};

ChatTemplate::ChatTemplate(std::string_view source) {
    constexpr size_t kMost = 4u << 20;
    if (source.size() > kMost) throw TextError(ErrorKind::limit, "chat template: " + std::to_string(source.size()) + " bytes, the limit is 4194304");
    if (!utf8_valid(source)) throw TextError(ErrorKind::invalid_data, "chat template: is not UTF-8");
    program_ = std::make_unique<Program>();
    program_->nodes = jinja::parse(source);
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(std::string_view variables_json, int64_t now_unix_s) const {
    const jinja::Json json = jinja::Json::parse(variables_json.begin(), variables_json.end(), nullptr, false);
    if (!json.is_object()) throw TextError(ErrorKind::invalid_data, "chat template: the variables are no JSON object");
    const jinja::Value variables = jinja::from_json(json);
    jinja::Interpreter interpreter(variables, now_unix_s);
    return interpreter.run(program_->nodes);
}

}  // namespace orrery::text
