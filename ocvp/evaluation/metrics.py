"""The metrics' names, in the order of tables and files (docs/metrics.md says what they are)."""

PIXEL_METRICS = ("psnr", "ssim", "lpips_alex", "lpips_vgg")
MASK_METRICS = ("fg_ari_clip", "fg_ari_frame", "ari", "miou", "mbo")
PREDICTOR_METRICS = (*PIXEL_METRICS, *MASK_METRICS, "slot_mse", "centre_error")
LOWER_IS_BETTER = ("slot_mse", "centre_error")
BASELINES = ("copy_last_frame", "copy_last_slots", "ceiling")
NAIVE_SEGMENTERS = ("kmeans_colour", "held_boxes")
NO_MASKS = "the videos have no masks"
