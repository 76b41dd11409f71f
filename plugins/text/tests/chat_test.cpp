// Templates against jinja2 in transformers' environment (make_chat_cases.py), and hostile ones.
#include <nlohmann/json.hpp>
#include <sstream>

#include "test_files.hpp"
#include "text.hpp"

namespace orrery::text {
namespace {

TEST(Chat, EqualsJinja2) {
    std::istringstream lines(read_case_file("chat.jsonl"));
    std::string line;
    int n = 0, refused = 0;
    for (; std::getline(lines, line); ++n) {
        const auto row = nlohmann::ordered_json::parse(line);
        std::string got;
        bool failed = false;
        try {
            got = ChatTemplate(row["template"].get<std::string>()).render(row["variables"].dump());
        } catch (const TextError& e) {
            failed = true;
            got = e.what();
        }
        EXPECT_EQ(failed, row.contains("error")) << row["name"] << ": " << row["template"] << "\n" << got;
        if (!row.contains("error")) {
            EXPECT_EQ(got, row["text"].get<std::string>()) << row["name"];
        }
        refused += row.contains("error");
    }
    EXPECT_GT(n, 300);
    EXPECT_GT(refused, 20);
}

std::string why(const std::string& source, const std::string& variables = "{}") {
    try {
        ChatTemplate(source).render(variables);
    } catch (const TextError& e) {
        return e.what();
    }
    return "no error";
}

std::string repeat(const std::string& s, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += s;
    return out;
}

TEST(Chat, ErrorsNameLineAndCause) {
    EXPECT_EQ(why("a\nb\n{{ x.y }}"), "chat template, line 3: 'x' is undefined, so it has no attribute 'y'");
    EXPECT_EQ(why("\n{% bogus %}"), "chat template, line 2: the tag 'bogus' is not supported");
    EXPECT_EQ(why("{{ 1 | nothing }}"), "chat template, line 1: the filter 'nothing' is not supported");
    EXPECT_EQ(why("{% if x %}"), "chat template, line 1: the template ends without {% endif %}");
    EXPECT_EQ(why("{{ [1] | random }}"), "chat template, line 1: the filter 'random' is not supported");
    EXPECT_EQ(why("{% for i in [1] %}\n{{ loop([2]) }}{% endfor %}"), "chat template, line 2: a loop is called that has no 'recursive' mark");
    EXPECT_EQ(why("{{ raise_exception('say why') }}"), "chat template: say why");
    EXPECT_EQ(why("{{ 9223372036854775807 + 1 }}"), "chat template, line 1: a whole number past 64 bits");
    EXPECT_EQ(why("x", "[]"), "chat template: the variables are no JSON object");
}

TEST(Chat, HostileTemplatesEnd) {
    EXPECT_NE(why("{{ " + repeat("(", 100000) + "1" + repeat(")", 100000) + " }}").find("nested deeper"), std::string::npos);
    EXPECT_NE(why("{{ 1" + repeat(" + 1", 100000) + " }}").find("nested deeper"), std::string::npos);
    EXPECT_NE(why("{{ x" + repeat(".y", 100000) + " }}").find("nested deeper"), std::string::npos);
    EXPECT_NE(why(repeat("{% if 1 %}", 100000)).find("nested deeper"), std::string::npos);
    EXPECT_NE(why("{{ " + repeat("not ", 100000) + "1 }}").find("nested deeper"), std::string::npos);
    EXPECT_NE(why("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").find("too deep"), std::string::npos);
    EXPECT_NE(why("{% for i in [1] recursive %}{{ loop([i]) }}{% endfor %}").find("too deep"), std::string::npos);
    EXPECT_NE(why("{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}").find("too much work"), std::string::npos);
    EXPECT_NE(why("{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}").find("16 MiB"), std::string::npos);
    EXPECT_NE(why("{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}").find("nested deeper than 200"), std::string::npos);
    EXPECT_NE(why("{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == ns.x }}").find("others in it"), std::string::npos);
    EXPECT_NE(why("{{ 'a' * 99999999999 }}").find("16 MiB"), std::string::npos);
    EXPECT_NE(why("{{ range(99999999999) }}").find("100000"), std::string::npos);
    EXPECT_NE(why("{{ '%999999999d' % 1 }}").find("10000"), std::string::npos);
    EXPECT_NE(why("{{ ('a' * 9000000).find('a' * 4000000 ~ 'b') }}").find("too much work"), std::string::npos);
    EXPECT_NE(why("x", "{\"a\":" + repeat("[", 3000) + repeat("]", 3000) + "}").find("nested deeper"), std::string::npos);
}

TEST(Chat, NamespaceMayHoldItselfAndMacros) {
    EXPECT_EQ(ChatTemplate("{% set ns = namespace() %}{% set ns.me = ns %}{% for i in [1] %}{% macro m() %}{{ i }}!{% endmacro %}{% set ns.m = m %}{% endfor %}{{ ns.m() }}{{ ns.me.me.m() }}").render("{}"), "1!1!");
}

TEST(Chat, TimeIsTheGivenOne) { EXPECT_EQ(ChatTemplate("{{ strftime_now('%Y') }}").render("{}", 1000000000), "2001"); }

}  // namespace
}  // namespace orrery::text
