list(APPEND ORRERY_PLUGIN_LIBS nlohmann_json::nlohmann_json utf8proc)
