list(APPEND ORRERY_PLUGIN_LIBS orrery_linear)
