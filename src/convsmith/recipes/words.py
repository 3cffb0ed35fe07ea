"""The options and verbs of other programs, with their translations: tables for commands and Python calls.

The words are those of Ultralytics, timm, torchvision's reference scripts, Keras, fastai and Lightning, with `-` written
as `_`. In a translation, `{}` is the value that was typed, or the example if there was none.
"""

from dataclasses import dataclass

TRAINING = ("train", "finetune")


@dataclass(frozen=True)
class Word:
    """The translation of another program's option. `values` is the number of its values (0: a flag)."""

    here: str
    example: str = ""
    values: int = 1


def _same(here: str, example: str, *words: str, values: int = 1) -> dict[str, Word]:
    return {word: Word(here, example, values) for word in words}


# fmt: off
OPTIONS: dict[str, Word] = {
    **_same("--network {}", "resnet18", "model", "arch", "architecture", "net", "backbone", "model_name", "a", "m"),
    **_same("--data {}", "photos/", "data_path", "data_dir", "dataset", "dataset_dir", "train_dir", "root", "input",
            "images", "source", "folder", "path", "d", "i", "data_root", "train_data"),
    **_same("--epochs {}", "10", "epoch", "n_epochs", "num_epochs", "max_epochs", "num_train_epochs", "nb_epochs", "e",
            "ep", "n_epoch"),
    **_same("--batch {}", "32", "batch_size", "bs", "b", "train_batch_size", "batchsize",
            "per_device_train_batch_size", "mini_batch_size", "minibatch"),
    **_same("--lr {}", "0.01", "learning_rate", "lr0", "lr_max", "max_lr", "base_lr", "learningrate"),
    **_same("--size {}", "224", "imgsz", "img_size", "image_size", "input_size", "img", "train_crop_size", "resolution",
            "crop_size", "target_size", "image_resolution"),
    **_same("--workers {}", "4", "num_workers", "j", "dataloader_num_workers", "n_workers"),
    **_same("--out {}", "runs/mine", "output", "output_dir", "save_dir", "project", "o", "out_dir", "run_dir",
            "default_root_dir", "save_path", "results_dir"),
    **_same("--weights {}", "weights.safetensors", "checkpoint", "initial_checkpoint", "ckpt", "ckpt_path", "load",
            "checkpoint_path", "pretrained_weights", "load_weights"),
    **_same("--resume {}", "RUN", "resume_from", "resume_from_checkpoint"),
    **_same("--within {}", "10min", "max_time", "budget", "time_budget", "time_limit", "max_duration"),
    **_same("--within {}h", "2", "time", "hours", "max_hours"),
    **_same("--seed {}", "0", "random_state", "manual_seed", "random_seed"),
    **_same("--optimizer.kind {}", "adamw", "optimizer", "optim", "opt", "optimiser"),
    **_same("--optimizer.weight_decay {}", "1e-4", "weight_decay", "wd", "l2", "decay"),
    **_same("--optimizer.momentum {}", "0.9", "momentum", "beta1", "adam_beta1"),
    **_same("--optimizer.beta2 {}", "0.999", "beta2", "adam_beta2"),
    **_same("--optimizer.momentum {} --optimizer.beta2 {}", "0.9 0.999", "betas", "opt_betas", values=2),
    **_same("--optimizer.eps {}", "1e-8", "opt_eps", "epsilon", "adam_epsilon"),
    **_same("--optimizer.nesterov true", "", "nesterov", values=0),
    **_same("--optimizer.clip {}", "1", "clip_grad", "clip_grad_norm", "grad_clip", "gradient_clip_val", "clipnorm",
            "global_clipnorm", "max_grad_norm", "clip", "gradient_clip"),
    **_same("--optimizer.accumulate {}", "4", "grad_accum_steps", "accumulate_grad_batches", "accumulate", "accum_iter",
            "gradient_accumulation_steps", "grad_accum", "gradient_accumulation"),
    **_same("--optimizer.average 'ema({})'", "0.999", "ema_decay", "model_ema_decay"),
    **_same("--optimizer.average 'ema(0.999)'", "", "ema", "model_ema", values=0),
    **_same("--schedule.kind {}", "cosine", "scheduler", "lr_scheduler", "sched", "lr_schedule", "schedule",
            "lr_scheduler_type"),
    **_same("--schedule.kind cosine", "", "cos_lr", "cosine", values=0),
    **_same("--schedule.warmup {}ep", "5", "warmup_epochs", "lr_warmup_epochs", "warmup", "warm_up"),
    **_same("--schedule.warmup {}steps", "500", "warmup_steps"),
    **_same("--schedule.floor {}", "0.01", "lrf", "min_lr", "eta_min"),
    **_same("--schedule.factor {}", "0.1", "gamma", "lr_gamma", "decay_rate", "lr_decay"),
    **_same("--schedule.kind exponential --schedule.every {}ep", "30", "lr_step_size", "decay_epochs", "step_size"),
    **_same("--schedule.kind step --schedule.at {}ep", "30", "milestones", "decay_milestones", "lr_milestones"),
    **_same("--early_stopping.patience {}ep", "5", "patience", "early_stopping_patience", "early_stopping", "es",
            "early_stop", "earlystopping", "early_stopping_rounds"),
    **_same("--label_smoothing {}", "0.1", "smoothing", "smooth", "label_smooth"),
    **_same("--loss.kind {}", "focal", "loss", "criterion", "loss_fn"),
    **_same("--loss.kind bce", "", "bce_loss", "bce", values=0),
    **_same("--loss.kind focal", "", "focal_loss", values=0),
    **_same("--loss.class_weights {}", "balanced", "class_weights", "class_weight", "cls_weights"),
    **_same("--data.sampling balanced", "", "balanced", "oversample", "weighted_sampler", "balance", values=0),
    **_same("--data.channels {}", "3", "channels", "in_chans", "in_channels", "ch", "num_channels"),
    **_same("--data.channels 1", "", "grayscale", "greyscale", "gray", "grey", values=0),
    **_same("--data.classes {}", "cat,dog", "classes", "class_names", "labels"),
    **_same("--data.images {}", "1000", "max_samples", "max_images", "num_samples", "subset"),
    **_same("--data.split {}", "80/20/0", "train_split", "splits"),
    **_same("--data.cache on", "", "cache", values=0),
    **_same("--kfold {}", "5", "folds", "k_folds", "n_folds", "cv", "k_fold", "nfolds", "n_splits"),
    **_same("--repeat {}", "3", "n_runs", "runs", "seeds", "num_runs"),
    **_same("--nproc {}", "2", "nproc_per_node", "num_processes", "world_size"),
    **_same("--precision bf16", "", "amp", "mixed_precision", "bf16", "use_amp", "native_amp", "autocast", values=0),
    **_same("--precision fp16", "", "fp16", "half", "float16", values=0),
    **_same("--device {}", "cuda", "accelerator"),
    **_same("--device cuda:{}", "0", "gpu", "gpu_id", "gpu_ids", "cuda_device"),
    # A count; only `--gpus 0` is the first one, as in scripts whose `--gpus` lists numbers of GPUs.
    **_same("GPUS cuda:0", "1", "gpus"),
    **_same("GPUS cpu", "1", "num_gpus", "n_gpus", "ngpus", "ngpu"),
    **_same("--device cuda", "", "cuda", "use_gpu", values=0),
    **_same("--device cpu", "", "no_cuda", "cpu", "use_cpu", values=0),
    **_same("--engine.compile on", "", "compile", "torchcompile", "torch_compile", values=0),
    **_same("--engine.channels_last true", "", "channels_last", values=0),
    **_same("--engine.threads {}", "2", "threads", "num_threads"),
    **_same("--deterministic", "", "use_deterministic_algorithms", "reproducible", values=0),
    **_same("--select best", "", "save_best_only", "save_best", "load_best_model_at_end", values=0),
    **_same("--checkpoint_every {}ep", "5", "save_period", "save_every", "save_freq", "checkpoint_freq",
            "checkpoint_interval"),
    **_same("--keep {}", "3", "checkpoint_hist", "save_total_limit", "save_top_k"),
    **_same("--evaluate_every {}ep", "1", "eval_every", "eval_interval", "val_interval", "check_val_every_n_epoch",
            "validation_freq", "eval_freq"),
    **_same("--track tensorboard", "", "tensorboard", "logdir", "log_dir", "report_to", "logger", values=0),
    **_same("--dry-run", "", "dryrun", "check", "sanity_check", values=0),
    **_same("--quick", "", "fast_dev_run", "smoke_test", "debug", values=0),
    **_same("--autotune", "", "benchmark", "cudnn_benchmark", values=0),
    **_same("--quiet", "", "silent", "no_progress", "q", values=0),
    **_same("--allow-other-machine", "", "allow_drift", values=0),
    **_same("--edit dropout={}", "0.2", "dropout", "drop", "dropout_rate", "drop_rate"),
    **_same("--edit drop_path={}", "0.1", "drop_path", "stochastic_depth", "drop_path_rate", "droppath"),
    **_same("--edit recompute", "", "gradient_checkpointing", "grad_checkpointing", values=0),
    **_same("--augment none", "", "no_aug", "no_augment", "no_augmentation", values=0),
}

# Steps of the augmentation: all that are typed go into one `--augment`, after the usual crop and flip.
USUAL_STEPS = ("resized_crop", "flip")
STEPS: dict[str, Word] = {
    **_same("mixup({})", "0.2", "mixup", "mixup_alpha", "mixup_prob"),
    **_same("cutmix({})", "1", "cutmix", "cutmix_alpha"),
    **_same("erase({})", "0.25", "reprob", "random_erase", "erasing", "random_erasing"),
    **_same("cutout", "", "cutout", values=0),
    **_same("randaugment", "", "randaugment", "rand_augment", "ra", values=0),
    **_same("trivialaugment", "", "trivialaugment", "ta_wide", "trivial_augment", values=0),
    **_same("rotate({})", "15", "rotation", "degrees", "rotation_range", "rotate"),
    **_same("color_jitter({0},{0},{0},0)", "0.4", "color_jitter", "colour_jitter", "jitter"),
    **_same("vertical_flip({})", "0.5", "vflip", "flipud", "vertical_flip"),
    **_same("flip", "", "hflip", "fliplr", "horizontal_flip", "flip"),
}
POLICIES = {"ra": "randaugment", "rand": "randaugment", "randaugment": "randaugment", "ta_wide": "trivialaugment",
            "trivialaugment": "trivialaugment", "augmix": "augmix", "imagenet": "autoaugment(imagenet)",
            "autoaugment": "autoaugment", "cifar10": "autoaugment(cifar10)"}
POLICY_WORDS = ("aa", "auto_augment", "augmentation_policy", "autoaugment")
# Shares of images that validate: `--val-split 0.2` is `--data.split 80/20/0`.
SHARES = ("val_split", "validation_split", "valid_pct", "val_size", "test_size", "val_ratio", "val_fraction", "val_pct",
          "valid_size", "val")

# Options that are not needed, or belong to another verb: the answer says why.
NOT_NEEDED: dict[str, str] = {
    "num_classes": "the classes are those of the data",
    "nb_classes": "the classes are those of the data",
    "n_classes": "the classes are those of the data",
    "nc": "the classes are those of the data",
    "verbose": "progress is shown unless --quiet",
    "v": "progress is shown unless --quiet",
    "metrics": "every number is printed by: convsmith eval RUN",
    "metric": "every number is printed by: convsmith eval RUN",
    "shuffle": "training images are always shuffled, by --seed",
    "plots": "the curves are in the report of each run",
    "save": "every run is kept, in --out or in runs/",
    "task": "the task follows from the data",
    "mode": "the verb names the action",
    "exist_ok": "a run is never overwritten; choose another --out",
    "rect": "pictures are cut to a square; --data.size sets its side",
    "wandb": "there is --track tensorboard",
    "log_interval": "progress is always shown",
    "normalize": "images are normalized by their own mean and deviation, or as the weights expect",
}
# Options of `train` that are another verb here; {} is the subject of the training.
OTHER_VERB: dict[str, Word] = {
    **_same("convsmith finetune resnet18 --pretrained --data {data} --mode partial --unfreeze 1", "", "freeze",
            "unfreeze", "freeze_layers", "freeze_backbone", "freeze_epochs", "trainable_layers", "transfer",
            "feature_extract"),
    **_same("convsmith eval RUN", "", "test_only", "evaluate", "eval_only", "validate", "eval", values=0),
    **_same("convsmith train recipe.json", "", "config", "cfg", "hyp", "yaml", "c"),
}

# The same words for the verbs that use a run. RUN and IMAGE are positional arguments.
USES: dict[str, dict[str, Word]] = {
    "predict": {
        **_same("RUN", "", "model", "run", "weights", "checkpoint", "ckpt", "m", "w", "model_path", "load"),
        **_same("IMAGE", "", "source", "input", "image", "images", "img", "file", "files", "data", "path", "folder",
                "i", "dir", "data_path"),
        **_same("--top {}", "5", "topk", "top_k", "k", "n", "num"),
        **_same("--threshold {}", "0.5", "conf", "confidence", "conf_thres", "min_score"),
        **_same("--views mirror", "", "tta", "augment", "flip_test", values=0),
        **_same("--csv > {}", "answers.csv", "output", "out", "o", "save_csv", "csv_file", "results"),
        **_same("--csv > answers.csv", "", "save", "save_txt", "save_conf", values=0),
        **_same("--precision bf16", "", "half", "amp", "fp16", values=0),
        **_same("--device cuda:{}", "0", "gpu", "gpu_id"),
        **_same("--engine openvino", "", "openvino", values=0),
        **_same("--engine onnxruntime", "", "onnx", values=0),
        **_same("--quiet", "", "silent", "q", values=0),
    },
    "eval": {
        **_same("RUN", "", "model", "run", "weights", "checkpoint", "ckpt", "m", "w", "model_path"),
        **_same("--data {}", "photos/", "source", "input", "images", "data_path", "data_dir", "dataset", "path", "i"),
        **_same("--split {}", "test", "subset", "set"),
        **_same("--split test", "", "test", values=0),
        **_same("--split val", "", "val", "validation", values=0),
        **_same("--views mirror", "", "tta", "augment", "flip_test", values=0),
        **_same("--plot reliability.svg", "", "plots", "save_plots", "confusion_matrix", values=0),
        **_same("--checkpoint best", "", "best", values=0),
        **_same("--checkpoint last", "", "last", values=0),
        **_same("--device cuda:{}", "0", "gpu", "gpu_id"),
        **_same("--quiet", "", "silent", "q", values=0),
    },
    "export": {
        **_same("RUN", "", "model", "run", "weights", "checkpoint", "ckpt", "m", "w", "model_path"),
        **_same("--to {}", "onnx", "format", "include", "f", "type", "target", "backend"),
        **_same("--out {}", "model.onnx", "output", "o", "output_file", "save_path", "file", "path", "output_path"),
        **_same("--to onnx", "", "onnx", values=0),
        **_same("--to bundle", "", "bundle", values=0),
        **_same("--quiet", "", "silent", "q", values=0),
    },
}
USES_NOT_NEEDED: dict[str, dict[str, str]] = {
    "predict": {
        **dict.fromkeys(("size", "imgsz", "img_size", "image_size"), "the run knows the size of its images"),
        **dict.fromkeys(("batch", "batch_size", "bs", "b"), "pictures go through in batches by themselves"),
        **dict.fromkeys(("num_classes", "nc", "classes", "class_names", "labels"), "the run knows its classes"),
        **dict.fromkeys(("show", "view_img"), "answers are text; open the pictures yourself"),
    },
    "eval": {
        **dict.fromkeys(("size", "imgsz", "img_size", "image_size"), "the run knows the size of its images"),
        **dict.fromkeys(("batch", "batch_size", "bs", "b"), "every image counts once, whatever the batch"),
        **dict.fromkeys(("metric", "metrics", "verbose", "top5", "topk"), "every number is printed"),
        **dict.fromkeys(("num_classes", "nc", "classes"), "the run knows its classes"),
    },
    "export": {
        **dict.fromkeys(("size", "imgsz", "img_size", "image_size"), "the run knows the size of its images"),
        **dict.fromkeys(("dynamic", "batch", "batch_size"), "the batch of an ONNX file is free already"),
        **dict.fromkeys(("opset", "opset_version"), "the opset is chosen, and printed"),
        **dict.fromkeys(("simplify", "optimize"), "the graph is simplified already"),
        **dict.fromkeys(("half", "int8", "fp16", "quantize"), "weights are exported in fp32"),
    },
}
# Other names of the formats of `export`.
FORMATS = {"onnx": "onnx", "safetensors": "bundle", "bundle": "bundle", "torchvision": "torchvision", "timm": "timm",
           "pt": "torchvision", "pth": "torchvision", "pytorch": "torchvision", "torch": "torchvision"}
# Formats that `export` does not write, with the alternative.
_CONVERTED = "its own converter makes it from the ONNX file"
OTHER_FORMATS: dict[str, str] = {
    **dict.fromkeys(("openvino", "ov", "ir"), "OpenVINO reads the ONNX file, and predict --engine openvino runs it"),
    **dict.fromkeys(("onnxruntime", "ort"), "ONNX Runtime reads the ONNX file"),
    **dict.fromkeys(("coreml", "mlmodel", "mlpackage", "tflite", "litert", "edgetpu", "tfjs", "engine", "tensorrt",
                     "trt", "ncnn", "mnn", "paddle", "rknn", "imx", "saved_model", "savedmodel", "pb", "tensorflow",
                     "tf", "keras", "h5", "executorch", "qnn"), _CONVERTED),
    **dict.fromkeys(("torchscript", "jit", "ts", "torch_jit", "script"),
                    "torch's own programs read the weights of torchvision or timm, others the ONNX file"),
}

# Verbs of other programs, with the command to type; {} is the first word after the verb.
VERBS: dict[str, Word] = {
    **_same("convsmith train --data {} --data.split 80/10/10", "photos/", "split", "divide", "partition",
            "train_test_split", "prepare", "preprocess"),
    **_same("convsmith eval {} --plot reliability.svg", "RUN", "plot", "chart", "reliability", "calibration", "draw"),
    **_same("convsmith eval {}", "RUN", "metrics", "score", "scores", "accuracy", "confusion", "confusion_matrix",
            "confusion-matrix", "report", "results", "result", "history", "curves", "log", "logs", "measure"),
    **_same("convsmith eval {} --calibrate", "RUN", "calibrate", "temperature"),
    **_same("convsmith export {} --to onnx", "RUN", "convert", "onnx", "deploy", "save", "compile", "to_onnx",
            "to-onnx", "package"),
    **_same("convsmith data stats {}", "photos/", "stats", "explore", "eda", "inspect", "count", "classes"),
    **_same("convsmith data check {}", "photos/", "check", "verify", "lint_data", "clean", "dedupe", "duplicates"),
    **_same("convsmith train --data {} --repeat 3", "photos/", "repeat", "seeds"),
    **_same("convsmith train --data {} --kfold 5", "photos/", "kfold", "cv", "crossval", "cross_validate", "k-fold"),
    **_same("convsmith train --data {} --augment flip --dry-run", "photos/", "augment", "augmentation"),
    **_same("convsmith train --data {}", "photos/", "learn", "start", "begin", "new", "init", "create"),
    **_same("convsmith train --data {}", "mnist", "download", "fetch", "get"),
    **_same("convsmith train --data {} --dry-run", "photos/", "estimate", "plan", "dry-run", "dryrun"),
    **_same("convsmith train --resume {}", "RUN", "continue", "restart"),
    **_same("convsmith show {} --layers", "resnet18", "layers", "params", "parameters", "flops", "macs", "profile",
            "visualize", "visualize", "graph", "structure", "tree", "cost"),
    **_same("convsmith nets --edits", "", "edits", "surgery"),
    **_same("convsmith recipes", "", "configs", "config", "presets", "settings", "cfg"),
    **_same("convsmith doctor", "", "checks", "version", "versions", "system", "gpu", "devices", "install", "device"),
    **_same("convsmith data cache", "", "cache"),
    **_same("convsmith compare {}", "RUN RUN", "versus", "vs", "side-by-side", "leaderboard"),
    **_same("convsmith train --data {} --quick", "photos/", "quick", "smoke", "demo", "try"),
    **_same("convsmith predict {} IMAGE", "RUN", "inference", "label", "run_model", "apply", "forward", "ask"),
}
# fmt: on
