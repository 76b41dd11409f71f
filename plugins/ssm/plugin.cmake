set(ORRERY_PLUGIN_LIBS orrery_model)
