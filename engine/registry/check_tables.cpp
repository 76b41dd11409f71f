#include "engine/registry/check_tables.hpp"

#include <nlohmann/json.hpp>

#include "engine/registry/attr_range.hpp"
#include "engine/registry/json_text.hpp"
#include "engine/registry/token_axis.hpp"
#include "orrery/plugin.hpp"
#include "orrery/ext/expression.h"
#include "orrery/ext/adapters.h"
#include "orrery/ext/taps.h"
#include "orrery/ext/tasks.h"

namespace orrery {
namespace {

// Bytes up to the end of a member: what a struct of ABI 1.0 has at least.
#define ORR_UP_TO(type, member) (offsetof(type, member) + sizeof(((type*)nullptr)->member))

void check_header(const std::string& what, const orr_header& header, size_t least_bytes) {
    if (header.abi_major != ORR_ABI_MAJOR)
        throw Error(ORR_ABI_MISMATCH, what + ": built for plugin ABI " + std::to_string(header.abi_major) + ", this engine has " + std::to_string(ORR_ABI_MAJOR));
    if (header.struct_size < least_bytes)
        throw Error(ORR_ABI_MISMATCH, what + ": its struct is " + std::to_string(header.struct_size) + " bytes, at least " + std::to_string(least_bytes) + " are needed");
}

template <class T>
void need(const std::string& what, T pointer, const char* member) {
    if (!pointer) throw Error(ORR_CORRUPT, what + ": its " + member + " is NULL");
}

std::string one(const std::string& what, const char* kind, uint32_t i) { return what + ": " + kind + " " + std::to_string(i); }

// "FILE: operator "id"", once it has been seen that there is such an item with such an id.
template <class T>
std::string item(const std::string& file, const char* kind, uint32_t i, const T* t, size_t least_bytes) {
    const std::string unnamed = one(file, kind, i);
    need(unnamed, t, "descriptor");
    check_header(unnamed, t->header, least_bytes);
    need(unnamed, t->id, "id");
    if (!*t->id) throw Error(ORR_CORRUPT, unnamed + ": its id is empty");
    return file + ": " + kind + " \"" + t->id + "\"";
}

void check_ports(const std::string& what, const char* kind, uint32_t count, const orr_port* const* ports) {
    if (count) need(what, ports, kind);
    for (uint32_t i = 0; i < count; i++) {
        const std::string who = one(what, kind, i);
        need(who, ports[i], "descriptor");
        check_header(who, ports[i]->header, ORR_UP_TO(orr_port, doc));
        need(who, ports[i]->name, "name");
        need(who, ports[i]->types, "types");
        need(who, ports[i]->doc, "doc");
        const auto axis = told_token_axis(*ports[i]);
        if (!axis) continue;
        const std::string told = who + " (" + ports[i]->name + "): its token_axis tells axis " + std::to_string(*axis);
        if (std::string(kind) == "input") throw Error(ORR_CORRUPT, told + ", of an input none is told");
        if (*axis < -ORR_MAX_RANK || *axis >= ORR_MAX_RANK) throw Error(ORR_CORRUPT, told + ", which is outside [" + std::to_string(-ORR_MAX_RANK) + ", " + std::to_string(ORR_MAX_RANK - 1) + "]");
    }
}

// What the attribute may be is written as plugin.h has it, and holds the default.
void check_range(const std::string& who, const orr_attr_desc& desc) {
    std::string why;
    try {
        const AttrRange range(desc);
        if (!desc.default_json) return;
        const nlohmann::json value = parse_json(desc.default_json);
        if (!value.is_discarded()) why = range.refusal(value);  // else told where the default is used
        if (!why.empty()) why = "its default " + why;
    } catch (const Error& e) {
        why = e.what();
    }
    if (!why.empty()) throw Error(ORR_CORRUPT, who + " (" + desc.name + "): " + why);
}

void check_operator(const std::string& file, uint32_t index, const orr_operator* op) {
    const std::string what = item(file, "operator", index, op, ORR_UP_TO(orr_operator, view));
    need(what, op->summary, "summary");
    need(what, op->infer, "infer");
    if (op->n_outputs == 0) throw Error(ORR_CORRUPT, what + ": it has no output");
    check_ports(what, "input", op->n_inputs, op->inputs);
    check_ports(what, "output", op->n_outputs, op->outputs);
    if (op->n_attrs) need(what, op->attrs, "attrs");
    for (uint32_t i = 0; i < op->n_attrs; i++) {
        const std::string who = one(what, "attribute", i);
        need(who, op->attrs[i], "descriptor");
        check_header(who, op->attrs[i]->header, ORR_UP_TO(orr_attr_desc, doc));
        need(who, op->attrs[i]->name, "name");
        need(who, op->attrs[i]->doc, "doc");
        check_range(who, *op->attrs[i]);
    }
    if (op->n_kernels == 0 && !op->decompose) throw Error(ORR_CORRUPT, what + ": it has no kernel and no decomposition");
    if (op->n_kernels) need(what, op->kernels, "kernels");
    for (uint32_t i = 0; i < op->n_kernels; i++) {
        const std::string who = one(what, "kernel", i);
        need(who, op->kernels[i], "descriptor");
        check_header(who, op->kernels[i]->header, ORR_UP_TO(orr_kernel, run));
        need(who, op->kernels[i]->name, "name");
        need(who, op->kernels[i]->device, "device");
        need(who, op->kernels[i]->run, "run");
    }
    if (op->traits & ORR_TRAIT_ELEMENTWISE) need(what + ", which is elementwise", op->elementwise, "elementwise");
    if (op->traits & ORR_TRAIT_VIEW) need(what + ", which is a view", op->view, "view");
}

void check_type(const std::string& file, uint32_t i, const orr_type* t) {
    const std::string what = item(file, "type", i, t, ORR_UP_TO(orr_type, quantise));
    if (t->block_elems == 0 || t->block_bytes == 0)
        throw Error(ORR_CORRUPT, what + ": blocks of " + std::to_string(t->block_elems) + " elements in " + std::to_string(t->block_bytes) + " bytes");
    need(what, t->dequantise, "dequantise");
}

void check_format(const std::string& file, uint32_t i, const orr_format* f) {
    const std::string what = item(file, "format", i, f, ORR_UP_TO(orr_format, open));
    need(what, f->endings, "endings");
    need(what, f->folder_files, "folder_files");
    need(what, f->magic_hex, "magic_hex");
    need(what, f->open, "open");
}

void check_model(const std::string& file, uint32_t i, const orr_model_arch* a) {
    const std::string what = item(file, "model", i, a, ORR_UP_TO(orr_model_arch, destroy));
    need(what, a->summary, "summary");
    need(what, a->configure, "configure");
    need(what, a->build, "build");
    need(what, a->destroy, "destroy");
}

void check_rewrite(const std::string& file, uint32_t i, const orr_rewrite* r) {
    const std::string what = item(file, "rewrite", i, r, ORR_UP_TO(orr_rewrite, apply));
    need(what, r->apply, "apply");
}

void check_tokenizer(const std::string& file, uint32_t i, const orr_tokenizer_kind* t) {
    const std::string what = item(file, "tokeniser", i, t, ORR_UP_TO(orr_tokenizer_kind, open));
    need(what, t->probe, "probe");
    need(what, t->open, "open");
}

void check_task(const std::string& file, uint32_t i, const orr_task_kind* t) {
    const std::string what = item(file, "task", i, t, ORR_UP_TO(orr_task_kind, destroy));
    need(what, t->summary, "summary");
    need(what, t->request_doc, "request_doc");
    need(what, t->create, "create");
    need(what, t->run, "run");
    need(what, t->cancel, "cancel");
    need(what, t->destroy, "destroy");
}

void check_tap(const std::string& file, uint32_t i, const orr_tap_kind* t) {
    const std::string what = item(file, "tap", i, t, ORR_UP_TO(orr_tap_kind, build));
    need(what, t->summary, "summary");
    need(what, t->build, "build");
}

void check_adapter(const std::string& file, uint32_t i, const orr_adapter_kind* a) {
    const std::string what = item(file, "adapter", i, a, ORR_UP_TO(orr_adapter_kind, build));
    need(what, a->summary, "summary");
    need(what, a->parts, "parts");
    need(what, a->parts[0], "parts[0]");
    need(what, a->configure, "configure");
    need(what, a->factor, "factor");
    need(what, a->destroy, "destroy");
    need(what, a->build, "build");
}

void check_formula(const std::string& file, uint32_t i, const orr_formula* f) {
    const std::string what = one(file, "formula", i);
    need(what, f, "descriptor");
    check_header(what, f->header, ORR_UP_TO(orr_formula, emit));
    need(what, f->op, "op");
    need(what, f->emit, "emit");
}

template <class Table, class Check>
void check_list(const orr_plugin& plugin, const char* id, const std::string& file, Check check) {
    const auto* table = static_cast<const Table*>(plugin.get_extension(id));
    if (!table) return;
    check_header(file + ": " + id, table->header, ORR_UP_TO(Table, items));
    if (table->count) need(file + ": " + id, table->items, "items");
    for (uint32_t i = 0; i < table->count; i++) check(file, i, table->items[i]);
}

}  // namespace

void check_plugin(const orr_plugin& plugin, const std::string& file) {
    check_header(file, plugin.header, ORR_UP_TO(orr_plugin, get_extension));
    need(file, plugin.id, "id");
    need(file, plugin.version, "version");
    need(file, plugin.licence, "licence");
    need(file, plugin.sanitizer, "sanitizer");
    need(file, plugin.get_extension, "get_extension");
    if (std::string(plugin.sanitizer) != ORR_SANITIZER)
        throw Error(ORR_ABI_MISMATCH, file + ": built with sanitizer \"" + plugin.sanitizer + "\", the engine with \"" ORR_SANITIZER "\"");
}

void check_tables(const orr_plugin& plugin, const std::string& file) {
    check_list<orr_operators>(plugin, ORR_EXT_OPERATORS, file, check_operator);
    check_list<orr_types>(plugin, ORR_EXT_TYPES, file, check_type);
    check_list<orr_formats>(plugin, ORR_EXT_FORMATS, file, check_format);
    check_list<orr_models>(plugin, ORR_EXT_MODELS, file, check_model);
    check_list<orr_rewrites>(plugin, ORR_EXT_REWRITES, file, check_rewrite);
    check_list<orr_tokenizers>(plugin, ORR_EXT_TOKENIZERS, file, check_tokenizer);
    check_list<orr_tasks>(plugin, ORR_EXT_TASKS, file, check_task);
    check_list<orr_taps>(plugin, ORR_EXT_TAPS, file, check_tap);
    check_list<orr_adapters>(plugin, ORR_EXT_ADAPTERS, file, check_adapter);
    check_list<orr_expressions>(plugin, ORR_EXT_EXPRESSIONS, file, check_formula);
}

}  // namespace orrery
