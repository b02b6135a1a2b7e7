from __future__ import annotations

from django.urls import include, path

from generation.doors.poses import health, library_views, staff_views, views

generator = [
    path("generate", views.GenerateView.as_view(), name="pose-generate"),
    path("generations", views.GenerationListView.as_view(), name="pose-generations"),
    path("generations/<str:generation_id>", views.GenerationView.as_view(), name="pose-generation"),
    path("generations/<str:generation_id>/results", views.ResultsView.as_view(), name="pose-results"),
    path("generations/<str:generation_id>/poses", views.PosesView.as_view(), name="pose-poses"),
    path("generations/<str:generation_id>/export-zip", views.ZipView.as_view(), name="pose-zip"),
    path("poses/<str:pose_id>/background", views.BackgroundView.as_view(), name="pose-background"),
    path("poses/<str:pose_id>/regenerate-export", views.RegenerateView.as_view(), name="pose-regenerate"),
    path("library", library_views.LibraryView.as_view(), name="pose-library"),
    path("library/<str:pose_id>", library_views.LibraryPoseView.as_view(), name="pose-library-pose"),
    path("categories", library_views.CategoriesView.as_view(), name="pose-categories"),
    path("projects", library_views.ProjectsView.as_view(), name="pose-projects"),
    path("projects/<str:project_id>", library_views.ProjectView.as_view(), name="pose-project"),
    path("requests", library_views.WishesView.as_view(), name="pose-wishes"),
    path("stats", staff_views.StatsView.as_view(), name="pose-stats"),
    path("credits", staff_views.CreditsView.as_view(), name="pose-credits"),
    path("health", health.HealthView.as_view(), name="pose-health"),
    path("recovery/status", staff_views.RecoveryStatusView.as_view(), name="pose-recovery"),
    path("recovery/trigger", staff_views.RecoveryTriggerView.as_view(), name="pose-recover"),
    path("metrics", staff_views.MetricsView.as_view(), name="pose-metrics"),
    path("metrics/top-users", staff_views.TopUsersView.as_view(), name="pose-top-users"),
    path("metrics/popular-poses", staff_views.PopularPosesView.as_view(), name="pose-popular"),
    path("metrics/errors", staff_views.ErrorsView.as_view(), name="pose-errors"),
    path("admin/pose-requests", staff_views.WishListView.as_view(), name="pose-admin-wishes"),
    path("admin/pose-requests/stats", staff_views.WishStatsView.as_view(), name="pose-admin-stats"),
    path("admin/pose-requests/popular", staff_views.PopularWishesView.as_view(), name="pose-admin-popular"),
    path("admin/pose-requests/<str:wish_id>", staff_views.WishView.as_view(), name="pose-admin-wish"),
    path("admin/pose-requests/<str:wish_id>/approve", staff_views.ApproveView.as_view(), name="pose-approve"),
    path("admin/pose-requests/<str:wish_id>/reject", staff_views.RejectView.as_view(), name="pose-reject"),
    path(
        "admin/pose-requests/<str:wish_id>/mark-in-progress",
        staff_views.InProgressView.as_view(),
        name="pose-in-progress",
    ),
    path(
        "admin/pose-requests/<str:wish_id>/mark-completed", staff_views.CompletedView.as_view(), name="pose-completed"
    ),
    path("admin/pose-requests/<str:wish_id>/notes", staff_views.NotesView.as_view(), name="pose-notes"),
]
avatars = [
    path("avatars", library_views.AvatarsView.as_view(), name="avatars"),
    path("avatars/<str:avatar_id>", library_views.AvatarView.as_view(), name="avatar"),
]

urlpatterns = [
    path("pose-generator/", include(generator)),
    path("avatar-creator/", include(avatars)),
]
