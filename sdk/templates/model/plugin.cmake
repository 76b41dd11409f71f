# What this plugin calls itself and links; orrery_add_plugin reads it.
set(ORRERY_PLUGIN_ID "@prefix@.@plugin@")
set(ORRERY_PLUGIN_LICENCE "MIT")
list(APPEND ORRERY_PLUGIN_LIBS nlohmann_json::nlohmann_json)
