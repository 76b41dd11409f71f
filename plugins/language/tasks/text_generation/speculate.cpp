// Drafted tokens, verified several at a time: one run of the last token and k drafted ones gives k + 1 rows of logits; the first rows whose choice is
// the drafted token stand, the session goes back behind them (Leviathan et al. 2023, arXiv:2211.17192, with a draft that is certain of itself).
// Each row is chosen from by the sampler of the request, with the random number that its token would have had: greedy or drawn, the
// answer is that of single steps. This rests on rows that do not depend on their neighbours, which kernels keep up to kMostDraft + 1 of them.
// Drafts by a smaller model in the same session, which controls make of it: fewer layers (Zhang et al. 2023, arXiv:2309.08168), narrower
// feed-forwards (Devvrit et al. 2023, arXiv:2310.07707). What they leave in the states is taken back.
#include <algorithm>
#include <cstring>
#include <exception>
#include <iterator>

#include "answer.hpp"
#include "model/json_text.h"
#include "orrery/plugin.hpp"

namespace orrery::text_generation {

namespace {

using nlohmann::json;

constexpr const char* kVerifyEntry = "forward";
// Controls that say the same of every token, or nothing by themselves. Of others, exits say, a run of several tokens may take another way than runs of one.
constexpr const char* kTokenwise[] = {"layer_plan", "bypass", "ffn_width", "exit_from", "exit_every", "exit_halt", "mindskip_threshold"};

}  // namespace

std::string Generator::control(const char* name) const {
    orr_text* text = nullptr;
    check(api_->session_control(session_, name, &text));
    if (!text) return "";
    std::string value(api_->text_data(text), static_cast<size_t>(api_->text_size(text)));
    api_->text_release(text);
    return value;
}

// value "": neutral
void Generator::set_control(const char* name, const std::string& value) const { check(api_->session_set_control(session_, name, value.empty() ? nullptr : value.c_str())); }

// Runs fn with the controls of a draft; whatever happens, the session's own stand again behind it.
template <class Fn>
void Generator::with_controls(const Speculation& s, Fn&& fn) const {
    std::vector<std::pair<const char*, std::string>> own;
    own.reserve(s.controls.size());
    std::exception_ptr failure;
    try {
        for (const auto& [name, value] : s.controls) {
            own.emplace_back(name.c_str(), control(name.c_str()));
            set_control(name.c_str(), value);
        }
        fn();
    } catch (...) {
        failure = std::current_exception();
    }
    // The way back is the way there: what stands between was taken once.
    for (auto at = own.rbegin(); at != own.rend(); ++at) set_control(at->first, at->second);
    if (failure) std::rethrow_exception(failure);
}

json Generator::about(const char* what, const char* entry) const {
    orr_text* text = nullptr;
    check(api_->model_describe(model_, what, entry, &text));
    const std::string list(api_->text_data(text), static_cast<size_t>(api_->text_size(text)));
    api_->text_release(text);
    return parse_json(list);
}

// Why the model's drafts cannot be verified; "": they can.
std::string Generator::no_speculation() const {
    const orr_model_info* info = api_->model_info(model_);
    bool has = false;
    for (const char* const* e = info ? info->entries : nullptr; e && *e; e++) has = has || !std::strcmp(*e, kVerifyEntry);
    if (!has) return "the model has no entry \"forward\", which gives logits of every token";
    for (const json& s : about("states", entry_))
        if (s.value("kind", "") == "recurrent") return "state " + s.value("name", "") + " is recurrent, single tokens cannot be taken back from it";
    for (const json& i : about("inputs", kVerifyEntry))
        if (!i.value("optional", false) && i.value("name", "") != "input_ids") return "entry forward needs the input " + i.value("name", "") + " too";
    for (const json& o : about("outputs", kVerifyEntry))
        if (o.value("name", "") == "logits") return "";
    return "entry forward gives no logits";
}

// Before anything is run.
void Generator::require_speculation(const Speculation& s) {
    if (s.draft == Speculation::Draft::none) return;
    if (!ORR_HAS(api_, orr_host_api, session_control) || !api_->session_control || !api_->session_set_control || !api_->model_describe)
        throw Error(ORR_ABI_MISMATCH, std::string("text_generation: speculate needs session_control of ") + ORR_EXT_HOST_API + ", the engine has none");
    if (!no_speculation_) no_speculation_ = no_speculation();
    if (!no_speculation_->empty()) throw Error(ORR_UNSUPPORTED, "text_generation: speculate cannot work here: " + *no_speculation_);
    std::vector<std::string> known;
    for (const json& c : about("controls", nullptr)) {
        const std::string& name = known.emplace_back(c.value("name", ""));
        if (std::find(std::begin(kTokenwise), std::end(kTokenwise), name) == std::end(kTokenwise) && !control(name.c_str()).empty())
            throw Error(ORR_UNSUPPORTED, "text_generation: speculate cannot work here: control " + name + " is set, by which several tokens of one run may take another way than single ones");
    }
    for (const auto& [name, value] : s.controls) {
        if (std::find(known.begin(), known.end(), name) != known.end()) continue;
        std::string names = "lookup, draft";
        for (const std::string& k : known) names += ", " + k;
        throw Error(ORR_INVALID_ARGUMENT, "text_generation: speculate has no field \"" + name + "\"; of this model it has " + names);
    }
    with_controls(s, [] {});
}

// Tokens that the session holds and that are certain.
uint64_t Generator::consumed(const Answer& a) const { return held_.size() - (a.draft.size() - a.row); }

// On to the logits that follow id: where it was drafted they are there.
void Generator::advance(int32_t id, Answer& a) {
    if (a.row < a.draft.size() && a.draft[a.row] == id) {
        if (cancelled_) throw Error(ORR_CANCELLED, "text_generation: cancelled");
        a.row++;
        read_logits(a.row);
        return;
    }
    if (a.request.speculate.draft == Speculation::Draft::none) return step(id, a);
    settle(a);
    propose(id, a);
    if (!a.proposed.empty() && verify(id, a)) return;
    step(id, a);
    a.count.plain_steps++;
}

// Takes back what was drafted and not said.
void Generator::settle(Answer& a) {
    if (a.draft.empty()) return;
    const uint64_t certain = consumed(a);
    a.length.learn(static_cast<int64_t>(a.draft.size()), static_cast<int64_t>(a.row));
    a.draft.clear();
    a.row = 0;
    if (certain == held_.size()) return;
    const orr_status status = api_->session_rollback(session_, static_cast<int64_t>(certain));
    seen_changes_ = changes();
    check(status);
    held_.resize(certain);
}

// How many tokens may be drafted after the one that is run next.
int64_t Generator::draft_room(const Answer& a) const {
    const auto held = static_cast<int64_t>(held_.size()) + 1, most = context();
    int64_t room = std::min(a.length.get(), a.request.max_tokens - static_cast<int64_t>(a.ids.size()) - 1);
    if (most > 0) room = std::min(room, most - held);
    // A run that ends beyond a change of all rotations would change them for its first rows too.
    if (rotary_switch_ && held_.size() <= rotary_switch_) room = std::min(room, static_cast<int64_t>(rotary_switch_) - held);
    if (rotary_growth_) room = std::min(room, static_cast<int64_t>(rotary_growth_) - held);
    return room;
}

void Generator::propose(int32_t id, Answer& a) {
    a.proposed.clear();
    const int64_t most = draft_room(a);
    if (most < 1) return;
    const double start = now();
    if (a.request.speculate.draft == Speculation::Draft::lookup) {
        held_.push_back(id);
        look_up(held_, a.request.speculate.ngram, most, a.proposed);
        held_.pop_back();
    } else {
        draft_with_controls(id, most, a);
    }
    a.count.draft_s += now() - start;
}

// Single steps through the smaller model. Whatever happens, the session is left as it was found.
void Generator::draft_with_controls(int32_t id, int64_t most, Answer& a) {
    const Speculation& s = a.request.speculate;
    try {
        with_controls(s, [&] {
            const int64_t position = api_->session_position(session_);
            std::exception_ptr failure;
            try {
                draft_steps(id, most, a);
            } catch (...) {
                failure = std::current_exception();
            }
            const orr_status back = api_->session_rollback(session_, position);
            seen_changes_ = changes();
            check(back);
            if (failure) std::rethrow_exception(failure);
        });
    } catch (const Error& e) {
        if (e.code() != ORR_INVALID_ARGUMENT) throw;
        std::string given;
        for (const auto& [name, value] : s.controls) given += (given.empty() ? "speculate." : ", speculate.") + name + " " + value;
        throw Error(e.code(), "text_generation: " + given + ": the draft runs a layer that the answer itself does not run, or runs one twice: " + e.what());
    }
}

void Generator::draft_steps(int32_t id, int64_t most, Answer& a) {
    sampling::Parameters parameters = a.sampler.parameters();
    if (!samples_) parameters.temperature = 0;
    for (int64_t i = 0; i < most; i++) {
        forward(entry_, samples_ ? "token" : "logits", &id, 1, parameters, sampling::draws(parameters.temperature) ? a.sampler.random_ahead(i) : 0);
        if (samples_) {
            id = read_token();
        } else {
            size_t width;
            const float* row = logits_row(0, width);
            sampling::Candidate room[1];
            id = sampling::choose(row, static_cast<int64_t>(width), parameters, 0, room);
        }
        if (id < 0 || (is_eog(id) && !a.request.ignore_eog)) break;
        a.proposed.push_back(id);
    }
}

// Runs id and the draft. False: there is no room for so many.
bool Generator::verify(int32_t id, Answer& a) {
    a.verified.assign(1, id);
    a.verified.insert(a.verified.end(), a.proposed.begin(), a.proposed.end());
    const double start = now();
    try {
        forward(kVerifyEntry, "logits", a.verified.data(), a.verified.size(), a.sampler.parameters(), 0);
    } catch (const Error& e) {
        if (e.code() != ORR_LIMIT) throw;
        return false;
    }
    held_.insert(held_.end(), a.verified.begin(), a.verified.end());
    a.draft.swap(a.proposed);
    a.row = 0;
    read_logits(0);
    a.count.verify_steps++;
    a.count.drafted += a.draft.size();
    a.count.verify_s += now() - start;
    return true;
}

}  // namespace orrery::text_generation
