"""The stages that give the embedded model texture, after it has learnt what things are: all looks in latents, then
pictures judged by features and judges; and the codec by itself.

`loop` is what all stages share, `samples` what a step draws, `painting` the losses of looks, `decoding` of the codec;
`features` and `judges` are what a picture is judged by, `pictures` where it lies on disk. Start reading at `painting`.
"""
