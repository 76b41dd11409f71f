// Device half of plugins/core/ops/div/div.cpp
#version 460
#define ORR_BINARY 3
#extension GL_GOOGLE_include_directive : require
#include "common/binary.glsl"
