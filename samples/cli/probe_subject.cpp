#include <algorithm>
#include <charconv>
#include <cmath>
#include <deque>
#include <numeric>
#include <regex>
#include <set>

#include "interrupt.hpp"
#include "probe.hpp"
#include "safetensors_io.hpp"
#include "tensor_run.hpp"

namespace orrery::cli {
namespace {

int64_t whole(const std::string& text, const std::string& what) {
    int64_t value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || failed != std::errc() || end != text.data() + text.size()) throw UsageError(what + ": \"" + text + "\" is no whole number");
    return value;
}

std::vector<int32_t> row_of(const host::Tensor& t, int64_t row) {
    const std::vector<float> all = to_f32(t);
    const int64_t tokens = t.shape()[1];
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < tokens; i++) ids.push_back(static_cast<int32_t>(all[static_cast<size_t>(row * tokens + i)]));
    return ids;
}

}  // namespace

std::vector<int32_t> parse_ids(const std::string& text, const std::string& what) {
    std::vector<int32_t> ids;
    for (size_t at = 0; at <= text.size();) {
        const size_t end = std::min(text.find(',', at), text.size());
        const int64_t id = whole(text.substr(at, end - at), what);
        if (id < 0 || id > INT32_MAX) throw UsageError(what + ": " + std::to_string(id) + " is no token");
        ids.push_back(static_cast<int32_t>(id));
        at = end + 1;
    }
    return ids;
}

std::vector<int64_t> parse_positions(const std::string& text, int64_t n, const std::string& option) {
    int64_t first = n - 1, end = n;
    if (text == "all") {
        first = 0;
    } else if (!text.empty() && text != "last") {
        const size_t colon = text.find(':');
        first = whole(text.substr(0, colon), option);
        end = colon == std::string::npos ? first + 1 : colon + 1 == text.size() ? n : whole(text.substr(colon + 1), option);
    }
    if (first < 0 || end > n || first >= end)
        throw UsageError(option + " " + text + ": none of the " + std::to_string(n) + " tokens, which are 0 to " + std::to_string(n - 1));
    std::vector<int64_t> out(static_cast<size_t>(end - first));
    std::iota(out.begin(), out.end(), first);
    return out;
}

double Normal::next() {
    constexpr double kStep = 0x1p-53, kTwoPi = 6.283185307179586;
    const double u = (static_cast<double>(bits_() >> 11) + 1) * kStep, v = static_cast<double>(bits_() >> 11) * kStep;
    return std::sqrt(-2 * std::log(u)) * std::cos(kTwoPi * v);
}

std::pair<json, std::vector<std::string>> residual_streams(const Subject& subject) {
    json names = json::array();
    std::vector<std::string> paths;
    if (subject.has(subject.embedding())) names.push_back("embed"), paths.push_back(subject.embedding());
    for (const int64_t l : subject.layers()) names.push_back(l), paths.push_back(subject.path(l, "output"));
    return {names, paths};
}

std::vector<double> probabilities(const float* row, int64_t width) {
    const double top = *std::max_element(row, row + width);
    std::vector<double> p(static_cast<size_t>(width));
    double sum = 0;
    for (int64_t v = 0; v < width; v++) sum += p[static_cast<size_t>(v)] = std::exp(row[v] - top);
    for (double& x : p) x /= sum;
    return p;
}

double entropy_of(const std::vector<double>& p) {
    double sum = 0;
    for (const double x : p)
        if (x > 0) sum -= x * std::log(x);
    return sum;
}

std::vector<int64_t> largest(const std::vector<double>& p, int64_t count) {
    std::vector<int64_t> order(p.size());
    std::iota(order.begin(), order.end(), 0);
    const auto n = std::min<ptrdiff_t>(count, static_cast<ptrdiff_t>(p.size()));
    std::partial_sort(order.begin(), order.begin() + n, order.end(), [&](int64_t a, int64_t b) {
        const double x = p[static_cast<size_t>(a)], y = p[static_cast<size_t>(b)];
        return x > y || (x == y && a < b);
    });
    order.resize(static_cast<size_t>(n));
    return order;
}

Subject::Subject(const Common& common, const ProbeOptions& o)
    : engine_(make_engine(common)),
      model_(open_model(engine_, o.model, common)),
      session_options_(cli::session_options(common)),
      entry_(o.entry),
      row_(o.row) {
    read_inputs(o);
    if (!common.numerics) session_options_.numerics = ORR_NUMERICS_EXACT;
    if (!common.cache_type) session_options_.cache_type = cache_type_.c_str();
    orr_session_options options = session_options_;
    fit_session(options, inputs_);
    session_ = model_.session(&options);
    for (const json& v : parse_json(model_.describe("values", entry()))) paths_[v["name"].get<std::string>()] = v["shape"].size();
    find_layers(o.stack);
}

void Subject::read_inputs(const ProbeOptions& o) {
    const int given = !o.text.empty() + !o.file.empty() + !o.ids.empty() + !o.inputs.empty();
    if (given != 1) throw UsageError("wanted one of TEXT, --file, --ids and --inputs");
    if (!o.inputs.empty()) {
        inputs_ = parse_safetensors(read_file(o.inputs), o.inputs);
        if (inputs_.empty()) throw host::Error(ORR_CORRUPT, o.inputs + ": holds no tensor");
        for (const host::Tensor& t : inputs_) {
            if (t.shape().empty() || o.row < 0 || o.row >= t.shape()[0])
                throw UsageError("--row " + std::to_string(o.row) + ": input " + t.name() + " has " +
                                 std::to_string(t.shape().empty() ? 0 : t.shape()[0]) + " rows");
            if (t.name() == "input_ids" && t.shape().size() == 2) ids_ = row_of(t, o.row);
        }
        return;
    }
    if (o.row != 0) throw UsageError("--row " + std::to_string(o.row) + ": a text is one row; --inputs gives several");
    set_ids(o.ids.empty() ? tokenize(o.file.empty() ? o.text : read_file(o.file)) : parse_ids(o.ids, "--ids"));
    if (ids_.empty()) throw host::Error(ORR_INVALID_ARGUMENT, "the text gives no token");
}

void Subject::set_ids(const std::vector<int32_t>& ids) {
    ids_ = ids;
    std::vector<unsigned char> bytes(ids.size() * sizeof(int32_t));
    std::memcpy(bytes.data(), ids.data(), bytes.size());
    inputs_.clear();
    inputs_.push_back(host::Tensor::own("input_ids", ORR_TYPE_I32, {1, static_cast<int64_t>(ids.size())}, std::move(bytes)));
}

void Subject::find_layers(const std::string& stack) {
    static const std::regex kLayer(R"(^(|.*\.)layers\.(\d+)\.output$)");
    std::map<std::string, std::set<int64_t>> stacks;
    std::vector<std::string> order;
    for (const json& v : parse_json(model_.describe("values", entry()))) {
        const auto name = v["name"].get<std::string>();
        std::smatch m;
        if (!std::regex_match(name, m, kLayer)) continue;
        if (!stacks.contains(m[1])) order.push_back(m[1]);
        stacks[m[1]].insert(std::stoll(m[2]));
    }
    if (stacks.empty()) throw host::Error(ORR_UNSUPPORTED, "this model names no layers.N.output; `orrery inspect MODEL values` lists what it names");
    prefix_ = stack.empty() ? order.front() : stack + ".";
    if (!stacks.contains(prefix_)) {
        std::string known;
        for (const std::string& s : order) known += (known.empty() ? "" : ", ") + (s.empty() ? "(the only one)" : s.substr(0, s.size() - 1));
        throw UsageError("--stack " + stack + ": the model has no such stack of layers; it has " + known);
    }
    layers_.assign(stacks[prefix_].begin(), stacks[prefix_].end());
}

std::string Subject::token_text(int32_t id) const {
    try {
        return model_.detokenize({id});
    } catch (const host::Error&) {
        return "#" + std::to_string(id);
    }
}

json Subject::token_texts() const {
    json out = json::array();
    for (const int32_t id : ids_) out.push_back(token_text(id));
    return out;
}

std::map<std::string, Values> Subject::run(const std::vector<std::string>& outputs, const std::vector<Edit>& edits) {
    std::deque<orr_named_tensor> operands;
    std::vector<orr_tap> taps;
    for (const Edit& e : edits) {
        orr_tap t = host::options<orr_tap>();
        t.path = e.path.c_str();
        t.kind = e.kind.c_str();
        t.factor = 1;
        t.first_position = e.first;
        t.end_position = e.end;
        if (e.operand) {
            orr_named_tensor& operand = operands.emplace_back(host::options<orr_named_tensor>());
            operand.name = e.path.c_str();
            operand.type = ORR_TYPE_F32;
            operand.rank = static_cast<int32_t>(e.operand->shape.size());
            std::copy(e.operand->shape.begin(), e.operand->shape.end(), operand.shape);
            operand.data = e.operand->data.data();
            operand.size_bytes = e.operand->data.size() * sizeof(float);
            t.operand = &operand;
        }
        taps.push_back(t);
    }
    if (!taps.empty() || edited_) session_.set_taps(taps);
    edited_ = !taps.empty();
    session_.reset();
    {
        const Interrupt interrupt([&] { session_.cancel(); });
        session_.run(entry(), inputs_, outputs);
    }
    std::map<std::string, Values> out;
    for (const std::string& name : session_.output_names()) {
        const host::Tensor t = session_.output(name);
        out[name] = {t.shape(), to_f32(t)};
    }
    return out;
}

std::vector<std::string> Subject::output_names() {
    std::vector<std::string> names;
    for (const json& v : parse_json(model_.describe("outputs", entry()))) names.push_back(v["name"]);
    return names;
}

Values Subject::one_row(const Values& v, const std::string& name) const {
    if (v.shape.empty() || row_ >= v.shape[0]) throw host::Error(ORR_UNSUPPORTED, name + " has no row " + std::to_string(row_));
    Values one{v.shape, {}};
    one.shape[0] = 1;
    const auto size = static_cast<ptrdiff_t>(v.data.size() / static_cast<size_t>(v.shape[0]));
    one.data.assign(v.data.begin() + row_ * size, v.data.begin() + (row_ + 1) * size);
    return one;
}

}  // namespace orrery::cli
