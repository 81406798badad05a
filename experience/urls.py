"""Plain HTTP of the product: what staff do to experiences, and that its sockets are sockets."""

from django.urls import path

from experience.api import ChangeExperience, DisableExperience, EnableExperience, Experiences
from experience.studio.views import no_polling

urlpatterns = [
    path("api/experiences", Experiences.as_view(), name="experiences"),
    path("api/experiences/disable", DisableExperience.as_view(), name="experience-disable"),
    path("api/experiences/enable", EnableExperience.as_view(), name="experience-enable"),
    path("api/experiences/change", ChangeExperience.as_view(), name="experience-change"),
    path("socket.io/", no_polling, name="no-polling"),
]
