#include "engine/abi/handles.hpp"
#include "engine/registry/error_text.hpp"
#include "engine/registry/json_text.hpp"
#include "engine/run/options.hpp"

using namespace orrery;

extern "C" {

orr_status orr_adapter_open(orr_model* model, const orr_model_options* options, orr_adapter** adapter) {
    return boundary([&] {
        require(model, "model");
        require(options, "options");
        require(adapter, "adapter");
        if (!model->model->info().entries) throw Error(ORR_INVALID_ARGUMENT, "this handle has only a tokeniser: it takes no adapters");
        *adapter = new orr_adapter{std::make_shared<Adapter>(model->model, copy_options(options, "orr_model_options"))};
    });
}

void orr_adapter_release(orr_adapter* adapter) { delete adapter; }

orr_status orr_adapter_describe(orr_adapter* adapter, orr_text** json) {
    return boundary([&] {
        require(adapter, "adapter");
        require(json, "json");
        *json = make_text(json_text(adapter->adapter->describe()));
    });
}

orr_status orr_session_set_adapters(orr_session* session, uint32_t count, orr_adapter* const* adapters, const double* scales, uint32_t flags) {
    return boundary([&] {
        require(session, "session");
        if (count) require(adapters, "adapters");
        std::vector<std::shared_ptr<const AdapterTensors>> given;
        std::vector<double> factors(count, 1);
        for (uint32_t i = 0; i < count; i++) {
            require(adapters[i], "adapters[i]");
            if (&adapters[i]->adapter->model() != &session->session->model())
                throw Error(ORR_INVALID_ARGUMENT, "adapter " + std::to_string(i) + " was opened for another model than the session's");
            for (uint32_t k = 0; k < i; k++)
                if (adapters[k]->adapter == adapters[i]->adapter) throw Error(ORR_INVALID_ARGUMENT, "adapters " + std::to_string(k) + " and " + std::to_string(i) + " are the same");
            given.push_back(adapters[i]->adapter->tensors());
            if (scales) factors[i] = scales[i];
        }
        session->session->set_adapters(std::move(given), factors, flags);
    });
}

}  // extern "C"
