// Device half of plugins/attention/ops/attention/attention_vulkan.cpp
#version 460
#extension GL_GOOGLE_include_directive : require
#include "attention/attention/split_subgroup.glsl"
