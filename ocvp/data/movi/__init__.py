"""MOVi-A to MOVi-E: TFRecord files, read without TensorFlow."""
