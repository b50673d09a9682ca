"""Front-ends: pixels or sound in, 25 feature vectors a second out."""

from msrs.frontends.logmel import LogMel
from msrs.frontends.video import VideoConvNet, VideoResNet
from msrs.frontends.waveform import WaveformResNet
from msrs.registry import Registry

VIDEO_FRONTENDS = Registry("video front-end", VideoResNet, VideoConvNet)
AUDIO_FRONTENDS = Registry("audio front-end", WaveformResNet, LogMel)
