# What this plugin calls itself; orrery_add_plugin reads it.
set(ORRERY_PLUGIN_ID "@prefix@.@plugin@")
set(ORRERY_PLUGIN_LICENCE "MIT")
