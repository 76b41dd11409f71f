// orrery probe: what goes on inside a model, through taps alone: any host can do the same.
#include "probe.hpp"

#include <cstdio>
#include <memory>

#include "safetensors_io.hpp"
#include "steering.hpp"

namespace orrery::cli {

json probe_dump(Subject& subject, const ProbeOptions& o) {
    std::vector<std::string> wanted;
    for (const std::string& pattern : o.values) {
        const size_t before = wanted.size();
        for (const auto& [path, rank] : subject.paths())
            if (path_fits(path, pattern) && std::find(wanted.begin(), wanted.end(), path) == wanted.end()) wanted.push_back(path);
        if (wanted.size() == before && std::none_of(wanted.begin(), wanted.end(), [&](const std::string& path) { return path_fits(path, pattern); }))
            throw host::Error(ORR_NOT_FOUND, "--values " + pattern + ": no value of the model fits; `orrery inspect MODEL values` lists them");
    }
    const auto values = subject.run(wanted);
    std::vector<host::Tensor> tensors;
    json shapes = json::object();
    for (const std::string& path : wanted) {
        const Values& v = values.at(path);
        tensors.push_back(host::Tensor::view(path, ORR_TYPE_F32, v.shape, v.data.data(), v.data.size() * sizeof(float)));
        shapes[path] = v.shape;
    }
    write_safetensors_f32(o.out, tensors);
    return {{"file", o.out}, {"values", shapes}};
}

namespace {

using Probe = json (*)(Subject&, const ProbeOptions&);

struct Command {
    CLI::App* app;
    std::shared_ptr<ProbeOptions> options;
};

Command add(CLI::App& probe, Common& common, Action& action, const char* name, const char* help, Probe run, const char* picture) {
    CLI::App* sub = probe.add_subcommand(name, help);
    auto o = std::make_shared<ProbeOptions>();
    sub->add_option("MODEL", o->model, "model folder or file")->required();
    sub->add_option("TEXT", o->text, "what it is run on");
    sub->add_option("-f,--file", o->file, "file with the text; - for stdin");
    sub->add_option("--ids", o->ids, "tokens instead of a text: 5,17,3");
    sub->add_option("--inputs", o->inputs, "safetensors file with named inputs, for models that take no text");
    sub->add_option("--row", o->row, "row of the batch in --inputs that is looked at");
    sub->add_option("--entry", o->entry, "entry point; the model's default when absent");
    sub->add_option("--stack", o->stack, "which layers, where a model has several stacks: encoder, decoder, text, vision");
    if (picture) sub->add_option("--png", o->png, std::string("also draws ") + picture);
    add_common(*sub, common);
    sub->callback([&common, &action, o, run] {
        action = [&common, o, run] {
            if (!o->png.empty() && !can_write_png())
                throw host::Error(ORR_UNSUPPORTED, o->png + ": this build writes no PNG (it was made without libpng)");
            Subject subject(common, *o);
            const json result = run(subject, *o);
            if (common.json)
                print_json(result);
            else
                print_human(result);
            return kDone;
        };
    });
    return {sub, o};
}

}  // namespace

void add_probe(CLI::App& app, Common& common, Action& action) {
    CLI::App* probe = app.add_subcommand("probe", "Looks inside a model: lens, attention, similarity, trajectory, trace, ablate, dump.");
    probe->require_subcommand(1);

    const Command lens = add(*probe, common, action, "lens", "Logit lens: the final norm and the unembedding behind every layer.", probe_lens,
                             "entropy by layer and position");
    lens.app->add_option("--top", lens.options->top, "tokens shown")->check(CLI::Range(1, 1000));
    lens.app->add_option("--positions", lens.options->positions, "last (default), all, 3 or 2:5");

    const Command attention = add(*probe, common, action, "attention", "Attention heat map: how much each query sees of each key.", probe_attention,
                                  "the probabilities, a row each query, a column each key");
    attention.app->add_option("--layer", attention.options->layers, "layers, repeatable; the last when absent")->allow_extra_args(false);
    attention.app->add_option("--head", attention.options->head, "a head, or mean: all of them averaged; each one when absent");

    add(*probe, common, action, "similarity", "How alike the residual streams behind the layers are: mean cosine over tokens.", probe_similarity,
        "the matrix");

    const Command trajectory = add(*probe, common, action, "trajectory", "How states move through depth: turns of tokens, rank of updates, what a push becomes.", probe_trajectory,
                                   "the turns by layer and token");
    trajectory.app->add_option("--apart", trajectory.options->apart, "how many tokens at the start are told by themselves: class token, registers");
    trajectory.app->add_option("--push", trajectory.options->push, "also runs with every token of one state pushed by this share of its length")->check(CLI::Range(0.0, 1e6));
    trajectory.app->add_option("--at", trajectory.options->at, "the layer whose output is pushed; the embedding when absent");
    trajectory.app->add_option("--samples", trajectory.options->samples, "of the push, averaged")->check(CLI::Range(1, 10000));
    trajectory.app->add_option("--seed", trajectory.options->seed, "of the push");

    const Command trace =
        add(*probe, common, action, "trace", "Causal trace: a corrupted run in which one value at a time is what it was in the clean run.",
            probe_trace, "the effect by layer and position");
    trace.app->add_option("--corrupted", trace.options->corrupted, "a text of as many tokens, for the corrupted run");
    trace.app->add_option("--corrupted-ids", trace.options->corrupted_ids, "its tokens instead: 5,18,3");
    trace.app->add_option("--noise", trace.options->noise, "SIGMA@FIRST:END instead: Gaussian noise on the embeddings of these tokens");
    trace.app->add_option("--samples", trace.options->samples, "of noise, averaged")->check(CLI::Range(1, 10000));
    trace.app->add_option("--seed", trace.options->seed, "of the noise");
    trace.app->add_option("--target", trace.options->target, "whose probability counts: a text, or #17; the clean run's own prediction when absent");
    trace.app->add_option("--site", trace.options->site, "what is restored: output (residual stream), mixer or ffn (what they hand on)")
        ->check(CLI::IsMember({"output", "mixer", "ffn"}));
    trace.app->add_option("--window", trace.options->window, "layers restored at a time, centred")->check(CLI::Range(1, 1001));

    add(*probe, common, action, "ablate", "Ablation sweep: each layer, mixer and feed-forward silenced in turn.", probe_ablate,
        "what it changes, a row each part, a column each layer");

    const Command dump = add(*probe, common, action, "dump", "Writes named values to a safetensors file.", probe_dump, nullptr);
    dump.app->add_option("--values", dump.options->values, "pattern of paths, repeatable: 'layers.*.mixer.output'")
        ->required()
        ->allow_extra_args(false);
    dump.app->add_option("-o,--out", dump.options->out, "safetensors file to write")->required();
}

}  // namespace orrery::cli
