// orrery eval: one entry point on named tensors, every declared output and what taps read written in fp32.
#include <filesystem>
#include <memory>

#include "common.hpp"
#include "interrupt.hpp"
#include "safetensors_io.hpp"
#include "steering.hpp"
#include "tensor_run.hpp"

namespace orrery::cli {
namespace {

struct Options {
    std::string model, inputs, outputs, entry;
    Steering steering;
};

int eval(const Common& common, const Options& o) {
    if (std::error_code none; std::filesystem::equivalent(o.inputs, o.outputs, none)) throw UsageError("--outputs " + o.outputs + " is the file of --inputs " + o.inputs + ", which it would overwrite");
    const std::vector<host::Tensor> inputs = parse_safetensors(read_file(o.inputs), o.inputs);
    const host::Engine engine = make_engine(common);
    const host::Model model = open_model(engine, o.model, common);
    orr_session_options options = session_options(common);
    if (!common.numerics) options.numerics = ORR_NUMERICS_EXACT;
    if (!common.cache_type) options.cache_type = "f32";
    fit_session(options, inputs);
    host::Session session = model.session(&options);
    steer(session, model, o.steering, o.entry.empty() ? nullptr : o.entry.c_str());
    const double start = now_seconds();
    {
        const Interrupt interrupt([&] { session.cancel(); });
        session.run(o.entry.empty() ? nullptr : o.entry.c_str(), inputs);
    }
    const double run_s = seconds_since(start);
    std::vector<host::Tensor> outputs;
    for (const std::string& name : session.output_names()) outputs.push_back(session.output(name));
    write_safetensors_f32(o.outputs, outputs);
    json result = {{"outputs", json::object()}, {"run_ms", run_s * 1000}};
    for (const host::Tensor& t : outputs) result["outputs"][t.name()] = t.shape();
    const json plan = json::parse(session.describe("plan", o.entry.empty() ? nullptr : o.entry.c_str()));
    if (plan.contains("device_flops_share")) result["device"] = plan["device"], result["device_flops_share"] = plan["device_flops_share"];
    const json work = work_of(session, o.entry.empty() ? nullptr : o.entry.c_str());
    if (const std::string line = work_line(work); common.json)
        result["work"] = work;
    else if (!line.empty())
        result["work"] = line;
    if (common.json)
        print_json(result);
    else
        print_human(result);
    return kDone;
}

}  // namespace

void add_eval(CLI::App& app, Common& common, Action& action) {
    CLI::App* sub = app.add_subcommand(
        "eval", "Runs one entry point on the tensors of a safetensors file; numerics exact and an f32 cache unless told otherwise.");
    auto o = std::make_shared<Options>();
    sub->add_option("MODEL", o->model, "model folder or file")->required();
    sub->add_option("--inputs", o->inputs, "safetensors file with the named inputs")->required();
    sub->add_option("--outputs", o->outputs, "safetensors file to write")->required();
    sub->add_option("--entry", o->entry, "entry point; the model's default when absent");
    add_steering(*sub, o->steering);
    sub->callback([&common, &action, o] { action = [&common, o] { return eval(common, *o); }; });
}

}  // namespace orrery::cli
