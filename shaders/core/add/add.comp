// Device half of plugins/core/ops/add/add.cpp
#version 460
#define ORR_BINARY 0
#extension GL_GOOGLE_include_directive : require
#include "common/binary.glsl"
