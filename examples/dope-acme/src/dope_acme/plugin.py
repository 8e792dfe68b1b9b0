"""What acme registers: names and where they are found, nothing heavy."""

from dope import hookimpl


@hookimpl
def register_datasets(register):
    register("acme.titanic", "dope_acme.survival:Titanic", summary="2,201 people on the Titanic")
    register("acme.cloud", "dope_acme.gan:Cloud", summary="Points from a normal distribution")


@hookimpl
def register_models(register):
    register("acme.dense", "dope_acme.survival:dense", summary="One hidden layer")
    register("acme.pair", "dope_acme.gan:pair", summary="A generator and a discriminator")
    register("acme.resnet", "dope_acme.resnet:ResNet", summary="A small residual network")


@hookimpl
def register_losses(register):
    register("acme.focal", "dope_acme.focal:Focal", summary="Focal loss, for rare classes")


@hookimpl
def register_tasks(register):
    register("acme.survival", "dope_acme.survival:Survival", summary="Who survives a shipwreck")
    register("acme.gan", "dope_acme.gan:GAN", summary="Draw points as the data has them")


@hookimpl
def register_callbacks(register):
    register("acme.norms", "dope_acme.callbacks:Norms", summary="Columns for rate and weights")
    register("acme.target", "dope_acme.callbacks:Target", summary="Stop when a figure is reached")
