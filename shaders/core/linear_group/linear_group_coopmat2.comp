// Device half of plugins/core/ops/linear_group/linear_group_vulkan.cpp
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common/product_coopmat2.glsl"
