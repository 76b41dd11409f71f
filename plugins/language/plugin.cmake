list(APPEND ORRERY_PLUGIN_LIBS orrery_model orrery_sampling orrery_linear orrery_vulkan_linear nlohmann_json::nlohmann_json utf8proc)
set(ORRERY_PLUGIN_PRECOMPILE <algorithm> <cmath> <nlohmann/json.hpp> <orrery/plugin.hpp>)
