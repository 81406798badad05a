"""What is routed where nobody says anything else: the one place here that names the reference product."""

ROUTES = ("experience.routes.ROUTES",)
APPS = ("experience",)
