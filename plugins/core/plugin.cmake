list(APPEND ORRERY_PLUGIN_LIBS orrery_linear orrery_sampling orrery_float_abi orrery_vulkan_linear nlohmann_json::nlohmann_json)
set(ORRERY_PLUGIN_PRECOMPILE <algorithm> <cmath> <orrery/plugin.hpp>)
