"""Videos of articulated people with complete PoseTrack annotations, made from a seed.

`generate_video` yields frames with annotations; `write_posetrack18` writes a dataset in the layout of PoseTrack 2018.
"""

from data_prep.synthetic.annotations import SyntheticFrame
from data_prep.synthetic.posetrack_files import VideoSettings, write_posetrack18
from data_prep.synthetic.scenes import SceneOptions
from data_prep.synthetic.video import generate_video

__all__ = ["SceneOptions", "SyntheticFrame", "VideoSettings", "generate_video", "write_posetrack18"]
