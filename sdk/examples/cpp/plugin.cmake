set(ORRERY_PLUGIN_ID "example.mean_abs_norm")
set(ORRERY_PLUGIN_LICENCE "MIT")
